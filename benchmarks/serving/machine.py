"""What the figures were measured on."""

import os
import platform
from pathlib import Path


def describe() -> str:
    """The processor, its cores that are ours to use, memory, and Python."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores = len(os.sched_getaffinity(0))
    name = names[0] if names else platform.machine()
    load, _, _ = os.getloadavg()
    return (
        f"{name}, {cores} cores, {memory:.0f} GB, Python {platform.python_version()}, "
        f"Linux {platform.release()}; load average at the start {load:.1f}"
    )
