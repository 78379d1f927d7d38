"""Kernels in C++, built once for this machine and kept on disk. A compiled package carries this file; it needs torch alone.

Where there is no C++ compiler, or where torch must see every operation (torch.compile, export, vmap, other devices and types),
`fusible` says so, and the modules compute the same with torch's own operations.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-w")
LARGEST_CACHE = 1 << 29  # bytes
TYPES = {torch.float32: "float32", torch.float64: "float64"}
SOURCES: dict[str, str] = {}
"""Texts of kernels that are in no file, by the `__file__` of the module that uses them."""


class Kernels:
    """The functions of the `kernels.cpp` beside a module."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.functions: dict[str, Any] = {}

    @functools.cached_property
    def library(self) -> ctypes.CDLL | None:
        """Built when it is first asked for; None, said once, where that cannot be done."""
        try:
            text = SOURCES.get(self.file) or Path(self.file).with_name("kernels.cpp").read_text(encoding="utf-8")
            try:
                return ctypes.CDLL(str(build(text)))
            except OSError:  # what lies in the cache is damaged, or the cache cannot be written
                return ctypes.CDLL(str(build(text, afresh=True)))
        except (OSError, BuildError) as problem:
            warnings.warn(f"computing with torch's own operations, because {problem}", stacklevel=4)
            return None

    def fusible(self, *tensors: Tensor) -> bool:
        """Whether the kernels can compute with these tensors, here and now."""
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack():
            return False
        if torch.autograd.forward_ad._current_level >= 0 or torch._C._get_tracing_state() is not None:
            return False
        dtype = None
        for tensor in tensors:
            if type(tensor) not in (Tensor, torch.nn.Parameter) or not tensor.is_cpu or not tensor.numel():
                return False
            if tensor.is_floating_point():
                if tensor.dtype not in TYPES or dtype not in (None, tensor.dtype):
                    return False
                dtype = tensor.dtype
        return self.library is not None

    def __call__(self, name: str, inputs: Sequence[Tensor], shapes: Sequence[Sequence[int]], sizes: Sequence[int],
                 numbers: Sequence[float]) -> Any:
        """The results of a kernel, new tensors of these shapes: one, or a tuple of several."""
        dtype = next(tensor.dtype for tensor in inputs if tensor.is_floating_point())
        key = f"{name}_{TYPES[dtype]}"
        function = self.functions.get(key)
        if function is None:
            assert self.library is not None
            function = self.functions[key] = getattr(self.library, key)
            function.restype = None
            function.argtypes = [*[ctypes.c_void_p] * (len(inputs) + len(shapes)), *[ctypes.c_int64] * len(sizes),
                                 *[ctypes.c_double] * len(numbers), ctypes.c_int]
        given = [tensor if tensor.is_contiguous() else tensor.contiguous() for tensor in inputs]
        made = [torch.empty(shape, dtype=dtype) for shape in shapes]
        function(*[tensor.data_ptr() for tensor in given], *[tensor.data_ptr() for tensor in made], *sizes, *numbers,
                 torch.get_num_threads())
        return made[0] if len(made) == 1 else tuple(made)


# ------------------------------------------------------------------------------------------------------ building
class BuildError(Exception):
    """A sentence that says why kernels could not be built."""


def cache() -> Path:
    """Where built kernels are kept: `ARCHC_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("ARCHC_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archc")


def kept() -> Path:
    """The folder of built kernels."""
    return cache() / "kernels"


@functools.cache
def compiler() -> tuple[str, ...]:
    """The command of a C++ compiler: `CXX`, else what is on the path, else the wheel `ziglang`. Raises BuildError."""
    for command in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if command and shutil.which(command.split()[0]):
            return tuple(command.split())
    try:
        import ziglang  # type: ignore[import-not-found]
    except ImportError:
        raise BuildError("there is no C++ compiler: install g++ or clang, or `pip install ziglang`") from None
    return sys.executable, "-m", ziglang.__name__, "c++"


@functools.cache
def machine() -> str:
    """What the built code depends on beside its text: compiler, flags, and the instructions of this processor."""
    try:
        version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise BuildError(f"the C++ compiler does not run: {problem}") from None
    processor = platform.machine()
    with_flags = Path("/proc/cpuinfo")
    if with_flags.exists():
        lines = with_flags.read_text(encoding="utf-8", errors="replace").splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{version}\n{FLAGS}\n{processor}"


def build(text: str, afresh: bool = False) -> Path:
    """The shared library of a text: from the cache, or built beside its place and moved there whole.

    `afresh`: not from the cache, and in the system's folder for temporary files if the cache cannot be written. Whoever builds
    the same at the same time does it once more, and the last one stays. Raises BuildError and OSError.
    """
    key = blake2b(f"{machine()}\n{text}".encode(), digest_size=16).hexdigest()
    folder = kept()
    done = folder / f"{key}.so"
    if done.exists() and not afresh:
        with contextlib.suppress(OSError):
            os.utime(done)  # what was used last stays longest
        return done
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(dir=folder, prefix=f".{key}.")
    except OSError:
        if not afresh:
            raise
        work = tempfile.mkdtemp(prefix="archc-kernels-")
        done = Path(work, f"{key}.so")
        atexit.register(shutil.rmtree, work, ignore_errors=True)
    source, fresh = Path(work, "kernels.cpp"), Path(work, "kernels.so")
    try:
        source.write_text(text, encoding="utf-8")
        found = subprocess.run([*compiler(), *FLAGS, str(source), "-o", str(fresh)], capture_output=True, text=True)
        if found.returncode:
            reason = "no space left on the disk" if "No space left" in found.stderr else found.stderr.strip()[:500]
            raise BuildError(f"the C++ compiler refused the kernels: {reason}")
        os.replace(fresh, done)
    finally:
        if done.parent != Path(work):
            shutil.rmtree(work, ignore_errors=True)
    trim(folder)
    return done


def trim(folder: Path, largest: int = LARGEST_CACHE) -> None:
    """Removes what was used least recently, until the folder has at most so many bytes; and what builds left that were killed."""
    with contextlib.suppress(OSError):
        for work in folder.glob(".*"):
            if work.stat().st_mtime < time.time() - 3600:
                shutil.rmtree(work, ignore_errors=True)
        found = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in folder.glob("*.so"))
        total = sum(size for _, size, _ in found)
        for _, size, file in found[:-1]:
            if total <= largest:
                break
            file.unlink(missing_ok=True)
            total -= size
