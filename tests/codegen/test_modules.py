"""Emitted modules behave as torch users expect."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

import archc

LAYERS = Path(__file__).parent / "layers.arch"


loaded = cache(archc.load)


@dataclass(frozen=True)
class Case:
    source: str
    layer: str
    shape: tuple[int, ...]
    arguments: Mapping[str, int | float] = field(default_factory=dict)

    def make(self) -> nn.Module:
        torch.manual_seed(0)
        return self.layer_class(**self.arguments)

    @property
    def layer_class(self) -> type[nn.Module]:
        return getattr(loaded(self.source), self.layer)

    def x(self, rows: int | None = None) -> Tensor:
        return torch.randn(self.shape if rows is None else (rows, *self.shape[1:]), generator=torch.Generator().manual_seed(1))


CASES = [
    Case("std.norm", "BatchNorm2d", (2, 4, 5, 6), {"channels": 4}),
    Case("std.norm", "LayerNorm", (2, 5, 8), {"c": 8}),
    Case("std.norm", "GroupNorm", (2, 8, 5, 6), {"channels": 8, "groups": 2}),
    Case("std.norm", "EvoNormS0", (2, 8, 5, 6), {"channels": 8, "groups": 2}),
    Case("std.norm", "EvoNormB0", (2, 4, 5, 6), {"channels": 4}),
    Case("std.conv", "Conv2d", (2, 3, 9, 7), {"c": 3, "o": 8}),
    Case("std.conv", "ConvTranspose2d", (2, 3, 4, 3), {"c": 3, "o": 4}),
    Case("std.kan", "KAN", (2, 5, 8), {"i": 8, "o": 4}),
    Case("std.attention", "SelfAttention", (2, 5, 8), {"c": 8, "heads": 2}),
    Case("std.vision", "TransformerBlock", (2, 3, 4), {"c": 4, "heads": 2}),
    Case("std.vision", "PatchEmbed", (3, 1, 8, 8), {"channel": 1, "o": 16, "t": 4}),
    Case("std.linear", "MLP", (2, 8), {"c": 8, "drop": 0.1}),
    Case(str(LAYERS), "Binary", (2, 4), {"i": 4, "o": 3}),
    Case(str(LAYERS), "Tower", (2, 4), {"c": 4}),
    Case(str(LAYERS), "Keywords", (2, 3), {"class_": 3}),
]
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.layer)


@each
def test_state_dict_copy_and_pickle(case: Case) -> None:
    module, x = case.make().eval(), case.x()
    other = case.layer_class(**case.arguments).eval()
    other.load_state_dict(module.state_dict())
    wanted = module(x)
    for twin in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), wanted)
    torch.save(module, io.BytesIO())


@each
def test_dtypes_and_devices(case: Case) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        assert case.make().to(dtype)(case.x().to(dtype)).dtype == dtype
    with torch.device("meta"):
        made = case.layer_class(**case.arguments)
    assert all(p.is_meta for p in made.parameters())
    made = case.layer_class(**case.arguments, dtype=torch.float64)
    assert all(p.dtype == torch.float64 for p in made.parameters())


@each
def test_autocast_with_float32_params(case: Case) -> None:
    module = case.make()
    with torch.autocast("cpu", torch.bfloat16):
        y = module(case.x())
    y.float().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


@each
def test_layouts_in_memory_double_use_and_checkpoints(case: Case) -> None:
    module, x = case.make().eval(), case.x()
    wanted = module(x)
    assert torch.allclose(module(x.transpose(0, -1).contiguous().transpose(0, -1)), wanted, atol=1e-5)
    if x.dim() == 4:
        assert torch.allclose(module(x.to(memory_format=torch.channels_last)), wanted, atol=1e-5)
    module.train()
    (module(x) + module(2 * x)).sum().backward()
    again = x.clone().requires_grad_()
    checkpoint(module, again, use_reentrant=False).sum().backward()
    assert again.grad is not None


@each
@pytest.mark.filterwarnings("ignore:var")
def test_an_empty_batch(case: Case) -> None:
    x = case.x(0).requires_grad_()
    y = case.make()(x)
    assert y.shape[0] == 0
    y.sum().backward()


@each
def test_first_and_second_derivatives(case: Case) -> None:
    if case.layer == "Binary" or case.layer == "Tower":
        pytest.skip("a surrogate derivative is not the derivative")
    module = case.make().double().eval()
    x = case.x(1).double()[..., :4, :4] if case.layer.startswith("Conv") else case.x(1).double()
    names = [name for name, _ in module.named_parameters()]

    def call(x: Tensor, *params: Tensor) -> Tensor:
        return functional_call(module, dict(zip(names, params, strict=True)), (x,))

    inputs = (x.requires_grad_(), *module.parameters())
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs, atol=1e-4)


@each
def test_functional_gradients_and_vmap(case: Case) -> None:
    module, x = case.make().eval(), case.x()
    params = dict(module.named_parameters())

    def loss(params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, dict(params), (x,)).sum()

    whole = grad(loss)(params, x)
    each_row = vmap(grad(loss), in_dims=(None, 0))(params, x.unsqueeze(1))
    for name, value in whole.items():
        assert torch.allclose(each_row[name].sum(0), value, atol=1e-3), name


@pytest.mark.slow
@each
def test_compile_and_export(case: Case) -> None:
    module, x, longer = case.make().eval(), case.x(), case.x(5)
    wanted = module(x)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    assert torch.allclose(compiled(x), wanted, atol=1e-5)
    assert torch.allclose(compiled(longer), module(longer), atol=1e-5)
    module.train()
    torch._dynamo.reset()
    torch.compile(module, fullgraph=True, backend="aot_eager")(x).sum().backward()
    module.eval()
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("rows", min=2, max=64)},))
    assert torch.allclose(exported.module()(longer), module(longer), atol=1e-5)


def test_compile_and_export_of_one_layer() -> None:
    case = CASES[7]
    module, x = case.make().eval(), case.x()
    torch._dynamo.reset()
    assert torch.allclose(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x), atol=1e-5)
    assert torch.allclose(torch.export.export(module, (x,)).module()(x), module(x), atol=1e-5)


# --------------------------------------------------------------------------------- what single layers must do
def layers() -> object:
    return loaded(str(LAYERS))


def test_names_of_the_state_are_those_of_the_source() -> None:
    module = layers().Keywords(class_=3)  # type: ignore[attr-defined]
    assert list(module.state_dict()) == ["lambda", "type"]
    module.load_state_dict({"lambda": torch.full((3,), 7.0), "type": torch.zeros(3)})
    assert torch.equal(module.lambda_, torch.full((3,), 7.0))
    outer = nn.Sequential(copy.deepcopy(module), pickle.loads(pickle.dumps(module)))
    assert list(outer.state_dict()) == ["0.lambda", "0.type", "1.lambda", "1.type"]
    outer.load_state_dict({name: value + 1 for name, value in outer.state_dict().items()})
    assert torch.equal(outer[1].lambda_, torch.full((3,), 8.0))
    assert list(layers().Tower(c=2).state_dict()) == [  # type: ignore[attr-defined]
        "place",
        "levels.0.weight",
        "levels.1.weight",
        "levels.2.weight",
        "last.weight",
    ]


def test_modes_buffers_and_penalties() -> None:
    module = layers().Modes(c=3, drop=0.5)  # type: ignore[attr-defined]
    x = torch.ones(4, 3)
    torch.manual_seed(0)
    mine = module(x)
    torch.manual_seed(0)
    assert torch.equal(mine, nn.functional.dropout(x, 0.5))
    assert module.count.item() == 1 and torch.allclose(module.seen, torch.full((3,), 0.1))
    assert module.penalties is None
    module.penalties = []
    module(x)
    module(x)
    assert [(name, value.item()) for name, value in module.penalties] == [("size", 3.0), ("size", 3.0)]
    module.penalties = None
    module.eval()
    assert torch.equal(module(x), x - module.seen) and module.count.item() == 3
    before = module.seen.clone()
    assert torch.equal(module.forget(before), before) and torch.equal(module.seen, torch.zeros(3))
    copy.deepcopy(module)


def test_several_results_and_an_input_left_out() -> None:
    module = layers().Several(c=3).double()  # type: ignore[attr-defined]
    x = torch.randn(2, 3, dtype=torch.float64)
    y, best = module(x)
    assert torch.equal(y, (x + 0.5) * module.w) and torch.equal(best, y.argmax(-1)) and best.dtype == torch.long
    assert torch.equal(module(x, torch.zeros_like(x))[0], x * module.w)
    with pytest.raises(ValueError, match=r"start has 4 in dimension 1 \(c\), where c is 3"):
        module(x, torch.zeros(2, 4))


def test_ints_and_leading_dimensions() -> None:
    module = layers().Embedding(vocabulary=5, c=3)  # type: ignore[attr-defined]
    for shape in ((2,), (4, 2), (0, 2), (2, 3, 2)):
        token = torch.randint(5, shape)
        assert torch.equal(module(token), module.table[token])
    with pytest.raises(IndexError):
        module(torch.tensor([5]))


def test_a_stated_derivative_is_used_and_can_be_differentiated() -> None:
    module = layers().Stated(n=3)  # type: ignore[attr-defined]
    x, freq = torch.randn(3, requires_grad=True), torch.full((3,), 5.0, requires_grad=True)
    (found,) = torch.autograd.grad(module(x, freq).sum(), x, create_graph=True)
    assert torch.equal(found, module.w)  # without freq, as the file says
    assert torch.equal(torch.autograd.grad(found.sum(), module.w)[0], torch.ones(3))
    assert torch.autograd.grad(module(x, freq).sum(), freq, allow_unused=True)[0] is None
    assert torch.equal(vmap(module)(torch.ones(2, 3), torch.ones(2, 3)), 2 * torch.ones(2, 3))


def test_a_straight_through_sign() -> None:
    module = layers().Binary(i=4, o=3)  # type: ignore[attr-defined]
    x = torch.randn(2, 4)
    module(x).sum().backward()
    assert torch.allclose(module.weight.grad, x.sum(0).expand(3, 4))


def test_starts() -> None:
    torch.manual_seed(0)
    module = layers().Starts(i=4, o=3)  # type: ignore[attr-defined]
    assert torch.allclose(module.unit.norm(dim=1), torch.ones(3), atol=1e-3)
    assert torch.allclose(module.square @ module.square.T, 4 * torch.eye(3), atol=1e-5)
    assert torch.equal(module.eye, torch.eye(3, 4)) and torch.equal(module.steps, torch.arange(4) / 4)
    torch.manual_seed(0)
    wide = torch.randn(3, 4)
    assert torch.allclose(module.unit, wide / wide.norm(dim=1, keepdim=True), atol=1e-5)


def test_a_linear_layer_starts_as_torch_s_does() -> None:
    torch.manual_seed(3)
    mine = archc.load("std.linear").Linear(i=7, o=5)
    torch.manual_seed(3)
    other = nn.Linear(7, 5)
    assert torch.allclose(mine.weight, other.weight, atol=1e-7) and torch.allclose(mine.bias, other.bias, atol=1e-7)


def test_static_choices_cannot_be_made_anew() -> None:
    Tower = layers().Tower  # type: ignore[attr-defined]
    assert Tower(c=2, depth=3).c == 2
    with pytest.raises(ValueError, match="Tower was compiled for depth = 3, not 4: compile it again"):
        Tower(c=2, depth=4)
    with pytest.raises(ValueError, match="kind = plain, not twice"):
        Tower(c=2, kind="twice")
    assert len(archc.load(str(LAYERS), depth=1).Tower(c=2).levels) == 1
    assert archc.load(str(LAYERS), kind="twice").Tower(c=2)(torch.ones(2)).shape == (2,)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"channels": 8, "groups": 3}, "channels is 8, which groups = 3 does not divide"),
        ({"channels": -1, "groups": 1}, "channels is -1, and a size is at least 0"),
        ({"channels": 8, "groups": 0}, "channels is 8, which groups = 0 does not divide"),
    ],
)
def test_sizes_are_checked_when_a_module_is_made(arguments: Mapping[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loaded("std.norm").GroupNorm(**arguments)


def test_shapes_are_checked_at_entry() -> None:
    module = loaded("std.norm").GroupNorm(channels=8, groups=2)
    with pytest.raises(ValueError, match=r"x needs 4 dimensions, \[n, \(g k\), h, w\], and has 3"):
        module(torch.ones(8, 2, 2))
    with pytest.raises(ValueError, match=r"x has 6 in dimension 1 \(channels\), where channels is 8"):
        module(torch.ones(1, 6, 2, 2))
