"""How many threads this process may really run at once, and what says so.

ONNX Runtime sizes its pool from the host; in a container with a quota that means many
threads that the kernel throttles. The quota is read from the cgroup file system: of version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html, ``cpu.max``), or of version 1
(https://docs.kernel.org/scheduler/sched-bwc.html, ``cpu.cfs_quota_us``), whose controller is
mounted alone or together with the one that counts.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_VERSION_1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


@dataclass(frozen=True)
class Cpus:
    """What this process may use.

    Args:
        count: threads that can run at once, at least 1.
        reason: what says so, such as "cgroup cpu.max 2.0 of 16"; empty if all of the machine's.
    """

    count: int
    reason: str = ""


class Quota(NamedTuple):
    """A limit in processors, and the file that states it."""

    cpus: float
    file: str


def usable_cpus(root: Path = CGROUP_ROOT, membership: Path = MEMBERSHIP) -> Cpus:
    """Return the smaller of affinity and quota.

    A fraction of a processor is rounded down: a thread more than the quota is throttled
    with all the others.

    Args:
        root: the mount point of the cgroup file system.
        membership: names the cgroup of this process.
    """
    quota = cpu_quota(root, membership)
    allowed, present = _affinity(), os.cpu_count() or 1
    if quota is not None and quota.cpus < allowed:
        reason = f"cgroup {quota.file} {quota.cpus:.1f} of {present}"
        return Cpus(max(1, int(quota.cpus)), reason)
    return Cpus(allowed, f"affinity of {present}" if allowed < present else "")


def cpu_quota(root: Path = CGROUP_ROOT, membership: Path = MEMBERSHIP) -> Quota | None:
    """Return the smallest limit of the process's cgroups, or None without one.

    A container sees its own cgroup as the root; a service of systemd has one further down,
    and each cgroup on the way to it may have a limit.
    """
    return min(_quotas(root, membership), default=None)


def _quotas(root: Path, membership: Path) -> Iterator[Quota]:
    for folder in _folders(root, membership, ""):
        quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
        yield from _quota(quota, period, "cpu.max")
    for mount in _VERSION_1_MOUNTS:
        for folder in _folders(root / mount, membership, "cpu"):
            file = "cpu.cfs_quota_us"
            yield from _quota(_read(folder / file), _read(folder / "cpu.cfs_period_us"), file)


def _folders(root: Path, membership: Path, controller: str) -> list[Path]:
    """Return the folders of the process's cgroup under a mount point, up to the mount point.

    Args:
        root: the mount point.
        membership: a line ``number:controllers:path`` for each hierarchy.
        controller: of version 1; empty for version 2.
    """
    for line in _read(membership).splitlines():
        _, _, hierarchy = line.partition(":")
        controllers, _, path = hierarchy.partition(":")
        if controller in controllers.split(","):
            below = PurePosixPath(path.lstrip("/"))
            return [root / below, *(root / parent for parent in below.parents)]
    return [root]


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # pragma: no cover -- macOS and Windows


def _quota(quota: str, period: str, file: str) -> Iterator[Quota]:
    """Yield the limit; "max", "-1" and unreadable text mean none."""
    quota, period = quota.strip(), period.strip()
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        yield Quota(int(quota) / int(period), file)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
