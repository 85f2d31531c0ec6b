"""What of the machine this process may use: processors and memory, also within a control group (a container, a job)."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path("/")  # of the file system; another in tests


def processors() -> int:
    """How many processors: those this process may run on, and no more than its control groups have time for."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([own, *_limits("cpu", _share_of_time)])))


def memory() -> int:
    """How many bytes of memory: what the machine has, and no more than the control groups allow."""
    return int(min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits("memory", _bytes)]))


def _limits(controller: str, read: Callable[[Path], float]) -> Iterator[float]:
    """The limits of the groups around this process, version 2 or 1; files that are not there set none."""
    for folder in _groups(controller):
        try:
            limit = read(folder)
        except (OSError, ValueError):  # "max" is no number
            continue
        if limit > 0:  # −1 is none
            yield limit


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's group and all around it. Within a container the path may be that outside of it."""
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if not names or controller in names.split(","):
            top = ROOT / "sys/fs/cgroup" / names  # version 2 has no names, and one folder for all
            below = Path(path.lstrip("/"))
            yield from (top / part for part in (below, *below.parents))


def _share_of_time(folder: Path) -> float:
    """Processors' worth of time."""
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
    else:
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    return float(quota) / float(period)


def _bytes(folder: Path) -> float:
    if (folder / "memory.max").exists():
        return float((folder / "memory.max").read_text())
    return float((folder / "memory.limit_in_bytes").read_text())
