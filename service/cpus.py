"""How many threads this process may really run at once.

ONNX Runtime sizes its pool from the host; in a container with a quota that means many
threads that the kernel throttles. The quota is read from the cgroup file system
(https://docs.kernel.org/admin-guide/cgroup-v2.html, ``cpu.max``).
"""

import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_cpus(root: Path = CGROUP_ROOT, membership: Path = MEMBERSHIP) -> int:
    """Return the threads that can run at once: the smaller of affinity and quota, at least 1.

    A fraction of a processor is rounded down: a thread more than the quota is throttled
    with all the others.

    Args:
        root: the mount point of the cgroup file system.
        membership: names the cgroup of this process.
    """
    quota = cpu_quota(root, membership)
    allowed = _affinity()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def cpu_quota(root: Path = CGROUP_ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """Return the processors granted by cgroup v2 or v1, or None without a limit.

    A container sees its own cgroup as the root; a service of systemd has one further down,
    and each cgroup on the way to it may have a limit.
    """
    limits = [_version_2(folder) for folder in _folders(root, membership)]
    limits.append(_version_1(root))
    return min((limit for limit in limits if limit is not None), default=None)


def _folders(root: Path, membership: Path) -> list[Path]:
    """Return the folders of the process's cgroup of version 2, up to the root."""
    for line in _read(membership).splitlines():
        if line.startswith("0::/"):
            below = Path(line.removeprefix("0::/"))
            return [root / below, *(root / parent for parent in below.parents)]
    return [root]


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # pragma: no cover -- macOS and Windows


def _version_2(root: Path) -> float | None:
    words = _read(root / "cpu.max").split()
    return _ratio(*words) if len(words) == 2 else None


def _version_1(root: Path) -> float | None:
    quota = _read(root / "cpu" / "cpu.cfs_quota_us").strip()
    period = _read(root / "cpu" / "cpu.cfs_period_us").strip()
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    """Divide; "max", "-1" and unreadable text mean no limit."""
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
