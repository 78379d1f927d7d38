"""Kernels in Triton: how each is cut into programs, and when it may run. A compiled package carries this file beside `native.py`.

Triton is imported when a tensor of a GPU first arrives, or where TRITON_INTERPRET=1 is set, which runs kernels on any tensor.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import math
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .native import OTHERS, OWN, Fused, are_transforms_active, cache, count_modes, is_compiling, tracing, unwatched

__all__ = ["Fused", "Kernels", "Plan"]

HELD = 1 << 15
"""Elements that the tiles of a program may hold at the same time: 64 registers of 512 threads."""

TILE = 1024  # elements that a program takes at least, where there are so many
PARTS = 1024  # programs that add up parts: enough for any chip, and few enough to add together
SUMMED = 16  # places whose parts a program adds up where rows are too long to stay in registers


class Tiling(NamedTuple):
    """Places of a tile, the widths of its inner axes, and whether these fit."""

    resident: bool
    places: int
    widths: tuple[int, ...]

    @property
    def elements(self) -> int:
        return self.places * math.prod(self.widths)

    @property
    def warps(self) -> int:
        return min(16, max(1, self.elements // 256))


def tiling(places: int, inner: Sequence[int], least: int, held: int, parts: bool, double: bool = False,
           resident: bool = True) -> Tiling:
    """The tile of a program; not `resident`: as if the inner axes were too long for one."""
    widths = [_above(size) for size in inner]
    whole = math.prod(widths)
    limit = _below(max(1, HELD // held // (2 if double else 1)))
    most = min(_above(places), max(least, _below(max(1, TILE // whole))))
    if resident and whole * min(least, most) <= limit:
        return Tiling(True, most, tuple(widths))
    most = min(_above(places), least if least > 1 else SUMMED if parts else 1)
    left = max(1, TILE // most)
    for at in reversed(range(len(widths))):
        widths[at] = min(widths[at], left)
        left //= widths[at]
    return Tiling(False, most, tuple(widths))


class Plan:
    """The tiles, the programs and the warps of a launch.

    `places`: places along the parallel axes, `across` times; `inner`: sizes of the inner axes; `row`: the size of the innermost
    axis; `least`: places of a tile, where neighbours in memory are places; `held`: tiles that live at the same time; `parts`:
    each program adds up a chunk of the places.
    """

    def __init__(self, tensors: Sequence[Tensor], places: int, inner: Sequence[int], row: int = 1, across: int = 1,
                 least: int = 1, held: int = 2, parts: bool = False) -> None:
        import triton.language as tl

        first = next(tensor for tensor in tensors if tensor.dtype.is_floating_point)
        double = first.dtype == torch.float64
        self.device, self.dtype = first.device, torch.float64 if double else torch.float32
        tiles = tiling(places, inner, least, held, parts, double)
        self.resident, self.warps = tiles.resident, tiles.warps
        self.chunks, self.length = -(-places // tiles.places), tiles.places
        if parts and self.resident:
            self.length = -(-self.chunks // min(self.chunks, max(1, PARTS // across))) * tiles.places
            self.chunks = -(-places // self.length)
        self.grid = (self.chunks * across,)
        wide = any(tensor.numel() >= 1 << 31 for tensor in tensors)
        self.tiles = (tiles.places, *tiles.widths, 16 if row % 16 == 0 else 1, tl.float64 if double else tl.float32,
                      tl.int64 if wide else tl.int32)

    def empty(self, dtype: str, *shape: int) -> Tensor:
        """Room for what programs leave for each other."""
        kinds = {"float": self.dtype, "int": torch.int64, "bool": torch.bool}
        return torch.empty(shape, dtype=kinds[dtype], device=self.device)

    def number(self, value: float) -> tuple[float, float]:
        """A number in two parts, as a launch passes floats of 32 bits."""
        near = ctypes.c_float(value).value
        return near, value - near if math.isfinite(near) else 0.0


def _above(size: int) -> int:
    """The power of two that is no smaller."""
    return 1 << max(0, size - 1).bit_length()


def _below(size: int) -> int:
    """The power of two that is no larger."""
    return 1 << size.bit_length() - 1


# ------------------------------------------------------------------------------------------------------- kernels
TRUSTED = {"interpreter"}
"""Chips on which kernels need no test of their own, beside those that the package's manifest names."""

FLOATS = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 4e-2, torch.float16: 1e-2}
"""How far a kernel may be from torch's operations, of the largest element."""

SOURCES: dict[str, str] = {}
"""Texts of kernels that are in no file, by the `__file__` of the module that uses them."""


class Launches(dict[str, Any]):
    """The functions of `kernels.py` that launch kernels, each on the device of its tensors."""

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self.kernels = kernels

    def __missing__(self, name: str) -> Any:
        launch = getattr(self.kernels.module, name)

        def on_its_device(*arguments: Any) -> Any:
            if not arguments[0].is_cuda:
                return launch(*arguments)
            with torch.cuda.device(arguments[0].device):
                return launch(*arguments)

        return self.setdefault(name, on_its_device)


class Kernels:
    """The kernels of the `kernels.py` beside a module."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.functions = Launches(self)
        self.module: Any = None
        self.refused = False
        self.state = threading.local()
        self.passed: set[tuple[str, str, torch.dtype]] = set()

    unwatched = staticmethod(unwatched)

    def fit(self, *tensors: Tensor) -> bool:
        """Whether the kernels can compute with these tensors, here and now."""
        if self.refused or is_compiling() or are_transforms_active() or count_modes() or tracing() is not None:
            return False
        if forward_ad._current_level >= 0 or getattr(self.state, "plain", False):
            return False
        found = device = None
        for tensor in tensors:
            if type(tensor) not in OWN or not tensor.numel() or tensor.is_neg() or device not in (None, tensor.device):
                return False
            device, dtype = tensor.device, tensor.dtype
            if dtype is not found and dtype not in OTHERS:
                if found is not None or dtype not in FLOATS:
                    return False
                found = dtype
        if found is None or device is None or not (device.type == "cuda" or interpreted()):
            return False
        return self.module is not None or self.load()

    def load(self) -> bool:
        """Imports the kernels; False, said once, where that cannot be done."""
        try:
            importlib.import_module("triton")
            path = Path(self.file).with_name("kernels.py")
            if self.file in SOURCES:  # Triton reads the text of a kernel from its file
                path = cache() / "triton" / f"{blake2b(SOURCES[self.file].encode(), digest_size=16).hexdigest()}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as fresh:
                    fresh.write(SOURCES[self.file])
                os.replace(fresh.name, path)
            spec = importlib.util.spec_from_file_location(f"{__package__}.kernels_of_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            made = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(made)
            self.module = made
        except (ImportError, OSError) as problem:
            self.refuse(f"Triton kernels cannot be loaded ({problem}); pip install 'archc[triton]'")
        return self.module is not None

    def refuse(self, reason: str) -> None:
        self.refused = True
        warnings.warn(f"computing with torch's own operations, because {reason}", stacklevel=4)

    @functools.cached_property
    def verified(self) -> frozenset[str]:
        """Chips on which the package was verified when it was made."""
        manifest = Path(self.file).with_name("manifest.json")
        found = json.loads(manifest.read_text(encoding="utf-8"))["verified"] if manifest.exists() else []
        return frozenset(found) | TRUSTED

    def tested(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of a group, tested against torch's operations when it is first called on a chip that nobody verified."""
        @functools.wraps(function)
        def checked(*arguments: Any) -> Any:
            first = arguments[0]
            if not self.refused and self.fit(*(x for x in arguments if isinstance(x, Tensor))):
                chip = torch.cuda.get_device_name(first.device) if first.is_cuda else "interpreter"
                key = (function.__name__, chip, first.dtype)
                if key not in self.passed:
                    if chip not in self.verified and not self.agrees(function, arguments):
                        self.refuse(f"{function.__name__.strip('_')} is not exact enough on this chip, {chip}")
                    self.passed.add(key)
            return function(*arguments)

        return checked

    def agrees(self, function: Callable[..., Any], arguments: Sequence[Any]) -> bool:
        """Whether the kernel and torch's operations give the same."""
        with torch.no_grad():
            ours = function(*arguments)
            self.state.plain = True
            try:
                theirs = function(*arguments)
            finally:
                self.state.plain = False
        pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
        for mine, other in pairs:
            bound = CLOSE.get(other.dtype, 0.0) * max(1.0, float(other.nan_to_num(0, 0, 0).abs().max()))
            if not torch.allclose(mine.double(), other.double(), rtol=0, atol=bound, equal_nan=True):
                return False
        return True


def interpreted() -> bool:
    """Whether kernels run under Triton's interpreter, on any tensor."""
    return os.environ.get("TRITON_INTERPRET") == "1"
