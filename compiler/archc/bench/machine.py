"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path


def described(device: str = "cpu") -> dict[str, object]:
    """Machine, versions, threads and load."""
    import torch

    import archc

    found: dict[str, object] = {
        "cpu": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "load": list(os.getloadavg()),
        "instructions": torch.backends.cpu.get_cpu_capability(), "system": platform.platform(),
        "python": platform.python_version(), "torch": torch.__version__, "archc": archc.__version__,
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }
    if device != "cpu":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "gpu_memory": properties.total_memory, "cuda": torch.version.cuda,
                  "capability": list(torch.cuda.get_device_capability(0))}
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
