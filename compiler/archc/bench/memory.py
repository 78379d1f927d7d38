"""How much memory a call takes at its highest, beyond what was there before it.

On Linux the kernel keeps the highest resident size of a process, and lets it be set back: that counts whatever a call allocates,
the buffers inside a library or kernel included. It also counts the holes between blocks that the C library keeps for later, so
`whole_blocks` comes before all else in a process, and `usual_blocks` before anything is timed. On a GPU torch's allocator counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable
from pathlib import Path

REPEATS = 2
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(call: Callable[[], object], device: str = "cpu", before: Callable[[], object] = lambda: None) -> int | None:
    """Bytes, the least of some calls, so that what else the process does at a time counts little; None where it cannot be told.
    `before` is called before each."""
    found: list[int | None] = []
    for _ in range(REPEATS):
        before()
        found.append(_resident(call) if device == "cpu" else _on_device(call))
    return min((value for value in found if value is not None), default=None)


def whole_blocks() -> None:
    """From now on each block of 64 KB or more comes from the system, and goes back there when it is freed."""
    _mallopt(1 << 16, 1 << 16)


def usual_blocks() -> None:
    """What glibc comes to by itself in a program that frees large blocks: up to 32 MB they are kept for later."""
    _mallopt(1 << 25, 1 << 26)


def _mallopt(from_system: int, kept: int) -> None:
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, from_system)
        libc.mallopt(TRIM_THRESHOLD, kept)


def _on_device(call: Callable[[], object]) -> int:
    import torch

    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _resident(call: Callable[[], object]) -> int | None:
    try:
        ctypes.CDLL(None).malloc_trim(0)  # free memory that the process still holds would hide what the call takes
        CLEAR.write_text("5")  # proc(5): the highest resident size starts again from here
        before = _kilobytes("VmRSS")
        call()
        return max(0, _kilobytes("VmHWM") - before) * 1024
    except (OSError, AttributeError):
        return None


def _kilobytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", STATUS.read_text(), re.M)
    if found is None:
        raise OSError(f"{STATUS} does not say {name}")
    return int(found[1])
