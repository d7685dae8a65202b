"""What processes hold, as Linux counts it."""

from collections.abc import Iterable
from pathlib import Path

_KIB_IN_MB = 1024 / 1e6


def proportional_mb(pids: Iterable[int], root: Path = Path("/proc")) -> float | None:
    """Return the memory of processes in MB; a page that several share counts once in all.

    Args:
        pids: of the processes.
        root: the mount point of the process file system.

    Returns:
        None where the system does not say.
    """
    found = [size for pid in pids if (size := _size(root / str(pid) / "smaps_rollup")) is not None]
    return sum(found) * _KIB_IN_MB if found else None


def _size(file: Path) -> int | None:
    """Return the proportional set size in KiB, or None of a process that has ended."""
    try:
        lines = file.read_text("ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)
