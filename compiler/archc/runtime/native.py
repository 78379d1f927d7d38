"""Kernels in C++, built once for this machine and kept on disk. A compiled package carries this file; it needs torch alone.

Where there is no C++ compiler, or where torch must see every operation (export, vmap, other devices and types), `fit` says so,
and the modules compute the same with torch's own operations. `torch.compile` takes a kernel for one of its operations.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.autograd import forward_ad

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fno-exceptions", "-fno-rtti", "-fPIC",
         "-w")
GCC = ("-fopenmp", "-fno-thread-jumps", "-fno-predictive-commoning", "-fno-tree-partial-pre")
"""The last two keep values of one turn of a loop for the next, which spills registers where a turn is a few vectors."""
LARGEST_CACHE = 1 << 29  # bytes
TYPES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}
OTHERS = frozenset({torch.int64, torch.bool})
ARGUMENTS = {"int64_t": ctypes.c_int64, "double": ctypes.c_double, "int": ctypes.c_int}
RULE = re.compile(r"^// -{80} (\w+)(, built when it is first called)?\n", re.MULTILINE)
SOURCES: dict[str, str] = {}
"""Texts of kernels that are in no file, by the `__file__` of the module that uses them."""


OWN = frozenset({Tensor, torch.nn.Parameter})
SEEN = OWN | {FakeTensor, FunctionalTensor}
KINDS = {"Tensor": "Tensor", "float": "float", "int": "SymInt"}
DEFINED: dict[str, torch.library.Library] = {}
"""The operations that are defined, which they are as long as their libraries live."""

is_compiling, is_exporting = torch.compiler.is_compiling, getattr(torch.compiler, "is_exporting", lambda: False)
are_transforms_active = torch._C._are_functorch_transforms_active
has_any_global_hook: Callable[[], bool] = torch.nn.modules.module._has_any_global_hook
count_modes, tracing = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state


class Fused(torch.autograd.Function):
    """An autograd.Function whose `apply` goes straight to C: `fit` has seen that no transform of torch.func is at work."""

    apply = torch._C._FunctionBase.__dict__["apply"]


def unwatched(parent: torch.nn.Module, *children: tuple[Any, ...]) -> bool:
    """Whether sub-layers are as they were made, in the mode of the layer that calls them, and nothing watches their calls: then
    its kernels compute them. Each is a module, its class, and names and values of its numbers."""
    if has_any_global_hook() or is_exporting():
        return False
    for child, kind, *numbers in children:
        if type(child) is not kind or child.training is not parent.training or "forward" in child.__dict__:
            return False
        if child._forward_hooks or child._forward_pre_hooks or child._backward_hooks or child._backward_pre_hooks:
            return False
        for name, value in zip(numbers[::2], numbers[1::2], strict=True):
            if getattr(child, name) != value:
                return False
    return True


class Functions(dict[tuple[str, torch.dtype], Any]):
    """C functions by name and type, found when they are first asked for."""

    def __init__(self, find: Callable[[str, torch.dtype], Any]) -> None:
        super().__init__()
        self.find = find

    def __missing__(self, key: tuple[str, torch.dtype]) -> Any:
        return self.setdefault(key, self.find(*key))


class Kernels:
    """The kernels of the `kernels.cpp` beside a module. (No dict itself: `torch.compile` would watch how many it has.)"""

    def __init__(self, file: str) -> None:
        self.file = file
        self.functions = Functions(self.find)
        self.parts: dict[str, ctypes.CDLL] = {}  # by the name of a C function
        self.built: dict[torch.dtype | None, bool] = {None: False}
        self.lock = threading.RLock()
        self.space = f"archc_{blake2b(f'{file}{self.text}'.encode(), digest_size=8).hexdigest()}"
        self.operations = getattr(torch.ops, self.space)

    unwatched = staticmethod(unwatched)

    def fit(self, *tensors: Tensor) -> bool:
        """Whether the kernels can compute with these tensors, here and now."""
        if is_compiling() or are_transforms_active() or count_modes() or forward_ad._current_level >= 0 or tracing() is not None:
            return False
        found = None
        for tensor in tensors:
            if type(tensor) not in OWN or not tensor.is_cpu or not tensor.numel() or tensor.is_neg():
                return False
            dtype = tensor.dtype
            if dtype is not found and dtype not in OTHERS:
                if found is not None or dtype not in TYPES:
                    return False
                found = dtype
        return self.built[found] if found in self.built else self.build(found)

    def traced(self, *tensors: Tensor) -> bool:
        """Whether torch looks at what happens to these tensors, and may take a kernel for one of its operations."""
        if not (is_compiling() or count_modes()) or is_exporting() or are_transforms_active():
            return False
        if not is_compiling() and (forward_ad._current_level >= 0 or tracing() is not None):
            return False
        found = None
        for tensor in tensors:
            if type(tensor) not in SEEN or not tensor.is_cpu:
                return False
            if tensor.dtype is not found and tensor.dtype not in OTHERS:
                if found is not None or tensor.dtype not in TYPES:
                    return False
                found = tensor.dtype
        return found is not None

    def define(self, function: Callable[..., Any], fake: Callable[..., Any], derivative: type[Fused] | None = None) -> None:
        """Makes an operation of torch's of a function that computes a group: its arguments and results are as annotated, `fake`
        makes room for the results."""
        name = function.__name__.strip("_")
        if f"{self.space}::{name}" in DEFINED:  # by the same text, loaded before
            return
        kinds = {text: KINDS[kind] for text, kind in function.__annotations__.items() if text != "return"}
        results = ", ".join(["Tensor"] * function.__annotations__["return"].count("Tensor"))
        library: Any = torch.library.Library(self.space, "FRAGMENT")  # type: ignore[no-untyped-call]
        DEFINED[f"{self.space}::{name}"] = library
        signature = ", ".join(f"{kind} {text}" for text, kind in kinds.items())
        library.define(f"{name}({signature}) -> {results if results == 'Tensor' else f'({results})'}")
        library.impl(name, laid_out(function), "CPU")
        torch.library.register_fake(f"{self.space}::{name}", fake, lib=library)
        if derivative is not None:
            tensors = sum(kind == "Tensor" for kind in kinds.values())

            def save(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
                ctx.save_for_backward(*inputs[:tensors])
                ctx.others = inputs[tensors:]

            def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
                return *derivative.backward(ctx, *cotangents)[:-1], *[None] * (len(kinds) - tensors)

            torch.library.register_autograd(f"{self.space}::{name}", backward, setup_context=save, lib=library)

    def build(self, dtype: torch.dtype | None) -> bool:
        """Builds the kernels for a type, but for those that are seldom called; False, said once, where that cannot be done."""
        with self.lock:
            if dtype not in self.built:
                try:
                    common = [part for part in self.texts if not part.seldom]
                    self.load(balanced(common, os.cpu_count() or 1), TYPES[dtype])  # type: ignore[index]
                    self.built[dtype] = True
                    say_if_alone()
                except (OSError, BuildError) as problem:
                    self.built = dict.fromkeys((None, *TYPES), False)
                    warnings.warn(f"computing with torch's own operations, because {problem}", stacklevel=4)
            return self.built[dtype]

    @functools.cached_property
    def text(self) -> str:
        return SOURCES.get(self.file) or Path(self.file).with_name("kernels.cpp").read_text(encoding="utf-8")

    @functools.cached_property
    def texts(self) -> list[Part]:
        """The kernels of the text, and what stands before the first."""
        _, *found = RULE.split(self.text)
        return [Part(name, bool(seldom), text) for name, seldom, text in zip(found[::3], found[1::3], found[2::3], strict=True)]

    def load(self, groups: Sequence[Sequence[Part]], suffix: str) -> None:
        """Builds groups of kernels for one type, at the same time, and opens the libraries."""
        head = RULE.split(self.text, maxsplit=1)[0]
        with_texts = [head + "".join(part.text for part in group) for group in groups]
        flags = for_type(suffix)
        with ThreadPoolExecutor(max(1, len(groups))) as pool:
            for group, library in zip(groups, pool.map(lambda text: opened(text, flags), with_texts), strict=True):
                self.parts.update((f"{part.name}_{suffix}", library) for part in group)

    def find(self, name: str, dtype: torch.dtype) -> Any:
        """A C function, ready to be called with numbers: addresses, sizes, and the rest as its declaration says."""
        suffix = TYPES[dtype]
        entry = f"{name}_{suffix}"
        with self.lock:
            if entry not in self.parts:
                self.load([[part for part in self.texts if part.name == name]], suffix)
            function = getattr(self.parts[entry], entry)
            declared = re.search(rf'extern "C" void {name}_##Stored\(([^)]*)\)', self.text)
            assert declared is not None
            function.restype = None
            function.argtypes = [ctypes.c_void_p if "*" in argument else ARGUMENTS[argument.split()[0]]
                                 for argument in declared[1].replace("\\", "").split(",")]
        return function


def laid_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without derivative, its results laid out as kernels write them, also where torch computed them."""

    def compute(*args: Any) -> Any:
        with torch.no_grad():
            results = function(*args)
        return results.contiguous() if isinstance(results, Tensor) else tuple(result.contiguous() for result in results)

    return compute


@functools.cache
def say_if_alone() -> None:
    if not has_threads() and torch.get_num_threads() > 1:
        warnings.warn("kernels run in one thread, because clang's OpenMP would be a second one beside torch's: g++ makes more",
                      stacklevel=5)


class Part(NamedTuple):
    """A kernel's text."""

    name: str
    seldom: bool
    text: str


def balanced(parts: Sequence[Part], count: int) -> list[list[Part]]:
    """The kernels in at most so many groups, of about the same length."""
    groups: list[list[Part]] = [[] for _ in range(min(count, len(parts)))]
    for part in sorted(parts, key=lambda part: -len(part.text)):
        min(groups, key=lambda group: sum(len(other.text) for other in group)).append(part)
    return groups


def for_type(stored: str) -> tuple[str, ...]:
    """What the compiler is told to build kernels for tensors of one type alone: that, and what is computed in."""
    return (f"-DEACH_TYPE(ENTRY)=ENTRY({'double' if stored == 'float64' else 'float'}, {stored})",)


def opened(text: str, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """The library of a text."""
    try:
        return ctypes.CDLL(str(build(text, flags)))
    except OSError:  # what lies in the cache is damaged, or the cache cannot be written
        return ctypes.CDLL(str(build(text, flags, afresh=True)))


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
def version() -> str:
    """What the compiler says that it is. Raises BuildError."""
    try:
        return subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise BuildError(f"the C++ compiler does not run: {problem}") from None


def has_threads() -> bool:
    """Whether loops run in several threads: those of gcc's OpenMP, which is torch's. That of clang would be a second one in the
    process, and they slow each other."""
    return "clang" not in version()


def commands(source: str, out: str, flags: Sequence[str] = ()) -> list[list[str]]:
    """What builds a library. Zig's linker is not told of C++: it would build a library of it first, which nothing needs."""
    start = [*compiler(), *FLAGS, *flags, *(GCC if has_threads() else ("-fopenmp-simd",))]
    if "ziglang" not in start:
        return [[*start, "-shared", source, "-o", out]]
    linker = [*compiler()[:-1], "cc", "-shared", f"{out}.o", "-o", out]
    return [[*start, "-fno-sanitize=all", "-c", source, "-o", f"{out}.o"], linker]


@functools.cache
def machine() -> str:
    """What the built code depends on beside its text: compiler, flags, and the instructions of this processor."""
    processor = platform.machine()
    with_flags = Path("/proc/cpuinfo")
    if with_flags.exists():
        lines = with_flags.read_text(encoding="utf-8", errors="replace").splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{version()}\n{commands('', '')}\n{processor}"


def build(text: str, flags: Sequence[str] = (), afresh: bool = False) -> Path:
    """The shared library of a text: from the cache, or built beside its place and moved there whole. `ARCHC_CXXFLAGS` has further
    flags for the compiler, such as the instructions that it may use: `-mno-avx512f`.

    `afresh`: not from the cache, and in the system's folder for temporary files if the cache cannot be written. Whoever builds
    the same at the same time does it once more, and the last one stays. Raises BuildError and OSError.
    """
    flags = (*flags, *os.environ.get("ARCHC_CXXFLAGS", "").split())
    key = blake2b(f"{machine()}\n{flags}\n{text}".encode(), digest_size=16).hexdigest()
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
        for command in commands(str(source), str(fresh), flags):
            found = subprocess.run(command, capture_output=True, text=True)
            if found.returncode:
                full = "No space left" in found.stderr
                reason = "no space left on the disk" if full else found.stderr.strip()[:500] or f"exit {found.returncode}"
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
