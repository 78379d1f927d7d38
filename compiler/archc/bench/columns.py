"""The columns of a row: the same layer computed in several ways, with the same weights, each compared before it is timed."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from archc import api
from archc.bench import steps
from archc.bench.case import Case, Peer
from archc.codegen.package import TARGETS

OURS = ("archc triton", "archc cpp", "archc torch")
"""Ours is the first of these that there is."""
MOST = 0.1
INDUCTOR = "inductor"
TOLERANCE = {"cpu": 2e-4, "cuda": 5e-3}
"""Of the largest element; on a GPU products round to TF32. Where the layer by hand loses more in float32, three times that."""


@dataclass
class Column:
    """One way: `step` trains, `forward` is in evaluation; None where it has no such call. `left_out` says why it has neither."""

    step: nn.Module | None = None
    forward: nn.Module | None = None
    left_out: str = ""
    seconds: float = 0.0  # from nothing to the first step


@dataclass
class Row:
    """The columns of a case on a device, with what they are called with."""

    case: Case
    device: str
    inputs: list[Tensor]
    cotangent: Tensor  # in float64
    exact: list[Tensor | None]
    exact_forward: Tensor
    allowed: list[float]  # differences from these, in float32
    state: Mapping[str, Tensor]
    columns: dict[str, Column] = field(default_factory=dict)

    @property
    def dy(self) -> Tensor:
        return self.cotangent.float()


def ours(case: Case, backend: Any, arguments: Mapping[str, Any]) -> nn.Module:
    """The case's layer, compiled. Raises UserError and Limit."""
    space = api.load(case.source, backend=backend, **case.static)
    made: nn.Module = getattr(space, case.layer)(**arguments)
    return made


def plain(case: Case, arguments: Mapping[str, Any]) -> nn.Module:
    """The layer by hand, or its own torch form."""
    made: nn.Module = case.eager(**arguments) if case.eager else ours(case, "torch", arguments)
    return made


def reference(case: Case, device: str) -> Row:
    """Inputs, and what must come out: of the layer by hand in float64, its weights those that the compiled layer starts with, a
    little changed, so that no gain of 1 hides anything."""
    torch.manual_seed(0)
    generator = draws()
    wide = [(t.float().double() if t.is_floating_point() else t).to(device) for t in case.inputs(generator)]
    source = ours(case, "torch", case.arguments).double()
    with torch.no_grad():
        for parameter in source.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            spread = parameter.std(correction=0)
            parameter.add_(0.1 * noise * torch.where(spread > 0, spread, 1.0))
    state = {name: value.float().to(value.dtype) for name, value in source.state_dict().items()}

    def of(dtype: torch.dtype) -> tuple[list[Tensor | None], Tensor]:
        module = with_state(plain(case, {**case.arguments, **case.settled}), state, dtype, device)
        given = [t.to(dtype, copy=True).requires_grad_() if t.is_floating_point() else t for t in wide]
        return _training(module, given, dy.to(dtype)), _evaluation(module, given)

    with torch.no_grad():
        shape = steps.result(with_state(plain(case, case.arguments), state, torch.float64, device), wide).shape
    dy = torch.randn(shape, generator=generator).double().to(device)
    exact, forward = of(torch.float64)
    rounded, rounded_forward = of(torch.float32)
    least = TOLERANCE["cpu" if device == "cpu" else "cuda"]
    allowed = [max(least, min(3 * difference(mine, right), MOST))
               for mine, right in zip((*rounded, rounded_forward), (*exact, forward), strict=True)]
    inputs = [t.float().requires_grad_() if t.is_floating_point() else t for t in wide]
    return Row(case, device, inputs, dy, exact, forward, allowed, state)


def _training(module: nn.Module, inputs: list[Tensor], dy: Tensor, own_params: bool = True) -> list[Tensor | None]:
    """The result of a step, the gradients of its inputs, and those of its params by name."""
    for tensor in steps.leaves(module, inputs):
        tensor.grad = None
    y = steps.result(module, inputs)
    y.backward(dy)  # type: ignore[no-untyped-call]
    params = [p.grad for _, p in named(module)] if own_params else []
    return [y.detach(), *(t.grad for t in inputs if t.is_floating_point()), *params]


def _evaluation(module: nn.Module, inputs: list[Tensor]) -> Tensor:
    module.eval()
    with torch.no_grad():
        found = steps.result(module, inputs)
    module.train()
    return found


def draws() -> torch.Generator:
    """From where the inputs of every case are drawn, first of all."""
    return torch.Generator().manual_seed(0)


def named(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return sorted((name.removeprefix("_orig_mod."), p) for name, p in module.named_parameters())


def with_state(module: nn.Module, state: Mapping[str, Tensor], dtype: torch.dtype, device: str) -> nn.Module:
    """The module with these weights. Raises KeyError where it has one that the compiled layer has not."""
    module = module.to(dtype=dtype, device=device)
    missing = module.load_state_dict(dict(state), strict=False).missing_keys
    if missing:
        raise KeyError(f"{', '.join(missing)} of the layer by hand are not in the compiled one")
    return module


def difference(found: Tensor | None, wanted: Tensor | None) -> float:
    """The largest difference, as a share of the largest element wanted."""
    if found is None or wanted is None:
        return 0.0 if found is wanted else float("inf")
    if found.shape != wanted.shape:
        return float("inf")
    if not wanted.numel():
        return 0.0
    return float((found.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))


def differs(row: Row, step: nn.Module | None, forward: nn.Module, own_params: bool) -> str:
    """What is wrong with a column, in a few words; an empty text if nothing is. The step comes first: it changes buffers, which
    the forward pass then reads."""
    if step is not None:
        names = ["result", *(f"gradient of input {n}" for n, t in enumerate(row.inputs) if t.is_floating_point())]
        names += [f"gradient of {name}" for name, _ in named(step)] if own_params else []
        found = _training(step, row.inputs, row.dy, own_params)
        for name, mine, exact, allowed in zip(names, found, row.exact, row.allowed, strict=False):
            if not (worst := difference(mine, exact)) <= allowed:
                return f"differs: {name} by {worst:.1e} of its largest element"
        if own_params and len(found) != len(row.exact):
            return f"differs: it has {len(found)} results and gradients, not {len(row.exact)}"
        if forward is not step:
            forward.load_state_dict(step.state_dict())
    worst = difference(_evaluation(forward, row.inputs), row.exact_forward)
    return "" if worst <= row.allowed[-1] else f"differs: result in evaluation by {worst:.1e} of its largest element"


def add(row: Row, name: str, make: Callable[[Mapping[str, Any]], nn.Module], *, compiled: bool = False, training: bool = True,
        own_params: bool = True) -> None:
    """One column: made, compared with the reference, and made again with the arguments that it is timed with."""

    def built(arguments: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
        module = make(arguments)
        module = with_state(module, row.state, torch.float32, row.device) if own_params else module.to(row.device)
        if not compiled:
            return module, module
        still = copy.deepcopy(module).eval()
        return torch.compile(module, dynamic=False), torch.compile(still, dynamic=False)  # type: ignore[return-value]

    column = row.columns[name] = Column()
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            step, forward = built({**row.case.arguments, **row.case.settled})
            column.left_out = differs(row, step if training else None, forward, own_params)
        for warning in said:
            if str(warning.message).startswith("computing with torch's own operations"):
                column.left_out = str(warning.message)
        if row.case.settled and not column.left_out:
            step, forward = built(row.case.arguments)
        if not column.left_out:
            column.forward, column.step = forward, step if training else None
    except ImportError as error:
        column.left_out = f"{error.name or error} is not installed"
    except Exception as error:  # whatever a peer or torch.compile raises: the row goes on without it
        text = str(error).strip() or type(error).__name__
        column.left_out = f"{type(error).__name__}: {text.splitlines()[0][:200]}"
    column.seconds = time.perf_counter() - start


def backends(device: str) -> list[str]:
    """Our targets that can be measured here, slowest first."""
    fused = "cpp" if device == "cpu" else "triton"
    return ["torch", *([fused] if fused in TARGETS else [])]


def fill(row: Row, skip: Mapping[str, str], only: str | None = None) -> None:
    """All columns but those in `skip`, which has the reasons; or one."""
    case = row.case
    makers: dict[str, tuple[Callable[[Mapping[str, Any]], nn.Module], dict[str, bool]]] = {}
    if case.eager is not None:
        makers["eager"] = lambda arguments: plain(case, arguments), {}
    makers[INDUCTOR] = lambda arguments: plain(case, arguments), {"compiled": True}
    for name, peer in case.peers.items():
        if row.device not in peer.devices:
            continue

        def theirs(arguments: Mapping[str, Any], peer: Peer = peer) -> nn.Module:
            other = with_state(plain(case, arguments), row.state, torch.float32, row.device)
            with torch.device(row.device):
                made: nn.Module = peer.make(other)
            return made

        makers[name] = theirs, {"compiled": peer.compiled, "training": row.device in peer.backward, "own_params": False}
    for backend in backends(row.device):
        makers[f"archc {backend}"] = lambda arguments, backend=backend: ours(case, backend, arguments), {}  # type: ignore[misc]
    for name, (make, options) in makers.items():
        if name in skip:
            row.columns[name] = Column(left_out=skip[name])
        elif only in (None, name):
            add(row, name, make, **options)


def best(row: Row) -> str | None:
    """The column that others are compared with; None where all of ours were left out."""
    return next((name for name in OURS if name in row.columns and not row.columns[name].left_out), None)
