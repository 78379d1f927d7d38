"""What is timed: a forward pass, a training step, and the least that either must do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from archc.bench.case import Case

RATE = 1e-4
aten = torch.ops.aten
PRODUCTS = {aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.mv, aten.addmv, aten.dot, aten.convolution,
            aten.convolution_backward, aten._scaled_dot_product_flash_attention_for_cpu}


def leaves(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What gets a gradient."""
    return [t for t in (*inputs, *module.parameters()) if t.requires_grad]


def result(module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """The result of a module, the first one if it has several."""
    y = module(*inputs)
    found: Tensor = y if isinstance(y, Tensor) else y[0]
    return found


def train(case: Case, module: nn.Module, inputs: list[Tensor], dy: Tensor) -> Callable[[], None]:
    """A step of training: forward, and backward to every input and param; with a loss of the case, its optimizer too."""
    wanted = leaves(module, inputs)
    if case.loss is None:
        def plain() -> None:
            for tensor in wanted:
                tensor.grad = None
            result(module, inputs).backward(dy)  # type: ignore[no-untyped-call]

        return plain
    loss, optimizer = case.loss, torch.optim.AdamW(module.parameters(), lr=RATE, fused=True)

    def whole() -> None:
        optimizer.zero_grad()
        loss(result(module, inputs), inputs).backward()
        optimizer.step()

    return whole


def infer(module: nn.Module, inputs: list[Tensor]) -> Callable[[], None]:
    """A forward pass. The caller turns gradients off."""
    return lambda: module(*inputs)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the matrix products and convolutions that are computed while it is entered, with what they are given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket in PRODUCTS:
            self.found.append((func, args, kwargs))
        return func(*args, **kwargs)

    def again(self) -> None:
        for func, args, kwargs in self.found:
            func(*args, **kwargs)


def bounds(case: Case, module: nn.Module, inputs: list[Tensor], dy: Tensor) -> tuple[str, Callable[[], None], Callable[[], None]]:
    """What the limit is, and the calls that take its time: of a forward pass and of a step."""
    forward, step = Recorder(), Recorder()
    if case.bound == "products":
        with torch.no_grad(), forward:
            module(*inputs)
        y = result(module, inputs)
        with step:
            again = result(module, inputs)
            again.backward(dy) if case.loss is None else case.loss(again, inputs).backward()  # type: ignore[no-untyped-call]
        if forward.found:
            return "products", forward.again, step.again
    y = result(module, inputs)
    given = _bytes([*inputs, *module.parameters()])
    gradients = _bytes(leaves(module, inputs))
    out = _bytes([y])
    return "copy", copies(given + out, inputs[0]), copies((given + out) + (given + out + gradients), inputs[0])


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def copies(moved: int, like: Tensor) -> Callable[[], None]:
    """A copy that reads and writes so many bytes together."""
    source = torch.ones(max(1, moved // 8), dtype=torch.float32, device=like.device)
    into = torch.empty_like(source)

    def copy() -> None:
        into.copy_(source)

    return copy


@contextlib.contextmanager
def mode(modules: Sequence[nn.Module], training: bool) -> Iterator[None]:
    """Modules in training or evaluation; gradients are on in training alone."""
    for module in modules:
        module.train(training)
    with torch.set_grad_enabled(training):
        yield
