"""A case: one layer at one size, with what it is measured beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = "limit"
"""The column of the least that any way must do."""


@dataclass(frozen=True)
class Peer:
    """Someone else's way: `make` gives it, of the hand-written nn.Module with its weights; torch's default device is the row's.
    It may raise ImportError. `devices`: where it runs at all; `backward`: where it can train. `compiled`: it is timed inside
    torch.compile, which is how it is meant to be used."""

    make: Callable[[Any], Any]
    devices: tuple[str, ...] = ("cpu", "cuda")
    backward: tuple[str, ...] = ("cpu", "cuda")
    compiled: bool = False


@dataclass(frozen=True)
class Case:
    """`inputs(generator)` gives the tensors of `forward`, in float64, or integers; `eager` the layer by hand in plain torch, with
    the same names of params, or None: then the layer's own torch form stands in its place.

    `settled` has arguments of the constructor for the comparison alone, where the layer draws random numbers. `loss` makes of a
    result and the inputs one number, and then a step updates the params too, as in training. `bound` says what the limit is:
    `products` (the matrix products and convolutions of the layer by hand, alone), or `copy` (of the least bytes)."""

    name: str
    family: str
    size: str
    source: str | Path
    layer: str
    inputs: Callable[[Any], list[Any]]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    static: Mapping[str, Any] = field(default_factory=dict)
    eager: Callable[..., Any] | None = None
    settled: Mapping[str, Any] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    loss: Callable[[Any, list[Any]], Any] | None = None
    bound: str = "copy"
    quick: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} {self.size}".strip()
