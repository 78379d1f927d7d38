"""Complex values and Fourier transforms of emitted modules against plain torch: values, gradients, and what users do."""

from __future__ import annotations

import copy
import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api

TRANSFORMS = """
layer Fft(static norm: "backward" | "ortho" | "forward" = "backward") {
    forward(x[n, h, w, c]: complex) -> [n, h, w, c]: complex { return fft[h, w](x, norm) }
}
layer Ifft(static norm: "backward" | "ortho" | "forward" = "backward") {
    forward(x[n, h, w, c]: complex) -> [n, h, w, c]: complex { return ifft[h, w](x, norm) }
}
layer OneOfFour(static norm: "backward" | "ortho" | "forward" = "backward") {
    forward(x[n, h, w, c]: complex) -> [n, h, w, c]: complex { return ifft[h](fft[w](x, norm = norm), norm) }
}
layer Rfft(static norm: "backward" | "ortho" | "forward" = "backward") {
    forward(x[n, h, w, c]) -> [n, h, f = |w| // 2 + 1, c]: complex { return rfft[h, w = f](x, norm) }
}
layer Irfft(w: axis, static norm: "backward" | "ortho" | "forward" = "backward") {
    forward(y[n, h, f, c]: complex) -> [n, h, w, c] { return irfft[h, f = w](y, norm) }
}
layer Renamed(static norm: "backward" | "ortho" | "forward" = "backward") {
    forward(x[n, h, w, c]) -> [c, k = |h|, n, f = |w| // 2 + 1]: complex { return rfft[h = k, w = f](x, norm) }
}
"""
REFERENCES: dict[str, Callable[[Tensor, str, int], Tensor]] = {
    "Fft": lambda x, norm, w: torch.fft.fft2(x, dim=(1, 2), norm=norm),
    "Ifft": lambda x, norm, w: torch.fft.ifft2(x, dim=(1, 2), norm=norm),
    "OneOfFour": lambda x, norm, w: torch.fft.ifft(torch.fft.fft(x, dim=2, norm=norm), dim=1, norm=norm),
    "Rfft": lambda x, norm, w: torch.fft.rfft2(x, dim=(1, 2), norm=norm),
    "Irfft": lambda x, norm, w: torch.fft.irfft2(x, s=(x.shape[1], w), dim=(1, 2), norm=norm),
    "Renamed": lambda x, norm, w: torch.fft.rfft2(x, dim=(1, 2), norm=norm).permute(3, 1, 0, 2),
}
SIZES = [(3, 4), (4, 5), (1, 1), (2, 1), (1, 6)]

MIXED = """
layer Mixed(c: axis) {
    param w[c, c2 = |c|]: complex = complex(normal(1), normal(1))
    param b[c]: complex = 0.5
    buffer turn[c]: complex = exp(complex(0, c / |c|))
    forward(x[n, t, c], z[n, t]: complex, token[n]: int) -> [n, t, c2] {
        y = z * x + b / (1 + abs(z)) - turn
        s = y[t = t - 1 else 0] * conj(y) + where(real(z) > 0, y, x) ^ 3
        return real(sum[c](s * w)) + imag(sum[c](x * w)) + angle(sum[c](y * exp(w * 0.1))) + abs(b[c = token])
    }
}
"""


def layer(text: str, name: str, *args: object, **static: Any) -> Any:
    return getattr(api.load_text(text, "complex.arch", **static), name)


def operand(name: str, sizes: tuple[int, int], dtype: torch.dtype, n: int = 2) -> Tensor:
    h, w = sizes
    width = w // 2 + 1 if name == "Irfft" else w
    real = name in ("Rfft", "Renamed")
    return torch.randn(n, h, width, 3, dtype=dtype if real else dtype.to_complex(), requires_grad=True)


def made(name: str, norm: str, w: int, dtype: torch.dtype) -> nn.Module:
    found: nn.Module = layer(TRANSFORMS, name, norm=norm)(**({"w": w} if name == "Irfft" else {}), dtype=dtype)
    return found


def close(mine: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
    assert torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("name", REFERENCES)
def test_transforms_are_torchs(name: str, norm: str) -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        for sizes in SIZES:
            x = operand(name, sizes, dtype)
            mine, theirs = made(name, norm, sizes[1], dtype)(x), REFERENCES[name](x, norm, sizes[1])
            close(mine, theirs, tolerance)
            ct = torch.randn_like(theirs)
            close(*(torch.autograd.grad(y, x, ct, retain_graph=True)[0] for y in (mine, theirs)), tolerance)


@pytest.mark.parametrize("name", REFERENCES)
def test_transforms_of_other_strides_and_of_none(name: str) -> None:
    call = made(name, "ortho", 5, torch.float64)
    x = operand(name, (4, 5), torch.float64).detach()
    wanted = REFERENCES[name](x, "ortho", 5)
    for strided in (x.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0), x.repeat_interleave(2, 1)[:, ::2]):
        close(call(strided), wanted, 1e-12)
    none = operand(name, (4, 5), torch.float64, n=0)
    y = call(none)
    assert y.shape == (*wanted.shape[:2], 0, *wanted.shape[3:]) if name == "Renamed" else y.shape == (0, *wanted.shape[1:])
    assert torch.autograd.grad(y.abs().sum(), none)[0].shape == none.shape


@pytest.mark.parametrize("name", ["Fft", "Rfft", "Irfft"])
def test_nothing_to_transform_is_said(name: str) -> None:
    with pytest.raises(ValueError, match="over h needs an element"):
        made(name, "ortho", 5, torch.float64)(operand(name, (0, 5), torch.float64))


@pytest.mark.parametrize("name", ["Fft", "Rfft", "Irfft"])
def test_gradients_of_transforms_by_differences(name: str) -> None:
    for sizes in ((2, 3), (1, 4)):
        call, x = made(name, "ortho", sizes[1], torch.float64), operand(name, sizes, torch.float64, n=1)
        assert torch.autograd.gradcheck(call, (x,))
        assert torch.autograd.gradgradcheck(lambda x: call(x) * call(x).conj(), (x,))  # noqa: B023


def test_the_length_back_is_checked() -> None:
    with pytest.raises(ValueError, match="'irfft' needs"):
        made("Irfft", "ortho", 8, torch.float64)(operand("Irfft", (3, 5), torch.float64))


# ------------------------------------------------------------------------------------------------- arithmetic
def mixed(module: Any, x: Tensor, z: Tensor, token: Tensor) -> Tensor:
    """The layer Mixed in plain torch."""
    z1 = z[..., None]
    y = z1 * x + module.b / (1 + z1.abs()) - module.turn
    s = torch.nn.functional.pad(y, (0, 0, 1, 0))[:, :-1] * y.conj() + torch.where(z1.real > 0, y, x.to(y.dtype)) ** 3
    w = module.w
    total = torch.einsum("ntc,cd->ntd", s, w).real + torch.einsum("ntc,cd->ntd", x.to(w.dtype), w).imag
    return total + torch.einsum("ntc,cd->ntd", y, torch.exp(w * 0.1)).angle() + module.b[token].abs()[:, None, None]


def arguments(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    x, z = torch.randn(2, 4, 3, dtype=dtype), torch.randn(2, 4, dtype=dtype.to_complex())
    return x.requires_grad_(), z.requires_grad_(), torch.tensor([2, 0])


def test_complex_arithmetic() -> None:
    module = layer(MIXED, "Mixed")(c=3, dtype=torch.float64)
    x, z, token = arguments()
    mine, theirs = module(x, z, token), mixed(module, x, z, token)
    close(mine, theirs, 1e-12)
    ct, wrt = torch.randn_like(mine), (x, z, module.w, module.b)
    for a, b in zip(torch.autograd.grad(mine, wrt, ct), torch.autograd.grad(theirs, wrt, ct), strict=True):
        close(a, b, 1e-11)
    assert torch.autograd.gradcheck(lambda x, z: module(x, z, token), (x, z))
    assert torch.autograd.gradgradcheck(lambda x, z: module(x, z, token), (x, z))


def test_defaults_updates_dropout_and_negative_powers() -> None:
    """An input left out, a complex buffer that is given floats, F.dropout that torch does not have for complex numbers."""
    text = """layer Rest(c: axis) {
        buffer m[c]: complex = 0
        forward(x[n, c], z[n, c]: complex = 2) -> [n, c]: complex {
            when training { update m = mean[n](x) }
            return dropout(z, 0.5) + z^-2 + m
        }
    }"""
    module, (x, z) = layer(text, "Rest")(c=3, dtype=torch.float64), (torch.randn(50, 3, dtype=torch.float64), torch.randn(
        50, 3, dtype=torch.complex128))
    kept = module(x, z) - z**-2
    dropped = kept.abs() < 1e-9
    assert torch.all(dropped | torch.isclose(kept, 2 * z)) and 0 < dropped.sum() < 150
    close(module.m, x.mean(0).to(torch.complex128), 1e-12)
    close(module.eval()(x, z), z + z**-2 + module.m, 1e-12)
    close(module(x), torch.full_like(z, 2.25) + module.m, 1e-12)


def test_a_module_with_complex_params_is_moved_by_its_parts() -> None:
    """torch's own `.to(torch.float64)` would drop the imaginary parts, and `.double()` leave them as they are."""
    module = layer(MIXED, "Mixed")(c=3)
    assert module.w.dtype == module.turn.dtype == torch.complex64
    before = module.w.detach().clone()
    for move in (lambda: module.double(), lambda: module.float(), lambda: module.to(torch.float64)):
        move()
        assert torch.equal(module.w.detach().to(torch.complex64), before)
    assert module.w.dtype == torch.complex128 and isinstance(module.w, nn.Parameter)
    assert nn.Sequential(nn.ModuleList([copy.deepcopy(module)])).float()[0][0].w.dtype == torch.complex64
    assert module.to("meta").w.device.type == "meta"


def test_half_types_are_refused() -> None:
    made_ = layer(MIXED, "Mixed")
    for refused in (lambda: made_(c=3, dtype=torch.bfloat16), lambda: made_(c=3).half(),
                    lambda: made_(c=3)(*(a.bfloat16() if a.is_floating_point() else a for a in arguments()))):
        with pytest.raises(ValueError, match="made of float32 or float64, not of torch"):
            refused()
    with pytest.raises(ValueError, match="made of float32 or float64, not of torch"):
        layer(TRANSFORMS, "Rfft")()(torch.zeros(1, 2, 2, 1, dtype=torch.float16))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_training_and_the_state_dict(optimizer: Any) -> None:
    torch.manual_seed(0)
    module = layer(MIXED, "Mixed")(c=3, dtype=torch.float64)
    args, steps = arguments(), optimizer(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        steps.zero_grad()
        loss = module(*args).square().mean()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    stored = io.BytesIO()
    torch.save(module.state_dict(), stored)
    stored.seek(0)
    other = layer(MIXED, "Mixed")(c=3, dtype=torch.float64)
    other.load_state_dict(torch.load(stored))
    assert torch.equal(other(*args), module(*args))
    assert other.state_dict()["w"].dtype == torch.complex128


def test_initial_values_are_of_the_params_own_dtype() -> None:
    module = layer(MIXED, "Mixed")(c=50, dtype=torch.float64)
    assert abs(module.w.real.std().item() - 1) < 0.1 and abs(module.w.imag.std().item() - 1) < 0.1
    assert torch.equal(module.b.detach(), torch.full((50,), 0.5, dtype=torch.complex128))
    assert torch.allclose(module.turn.abs(), torch.ones(50, dtype=torch.float64), rtol=1e-15)


def test_autocast() -> None:
    """A transform of what autocast made half is computed in float32."""
    text = """layer Spectrum(c: axis) {
        param w[c, o = |c|] = normal(1)
        forward(x[n, t, c]) -> [n, f = |t| // 2 + 1, o] { return abs(rfft[t = f](sum[c](x * w))) }
    }"""
    module, x = layer(text, "Spectrum")(c=3), torch.randn(2, 6, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x)
    close(found.float(), torch.fft.rfft(x @ module.w, dim=1).abs(), 0.2)


def test_torch_func() -> None:
    module = layer(TRANSFORMS, "Rfft")()
    x = torch.randn(4, 2, 3, 5, 3, dtype=torch.float64)
    mapped = torch.func.vmap(module)(x)
    close(mapped, torch.stack([module(part) for part in x]), 1e-12)
    grad = torch.func.grad(lambda x: module(x).abs().square().sum())(x[0])
    assert grad.shape == x[0].shape


# ------------------------------------------------------------------------------------------------- pairs of floats
def apart(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def paired(text: str, name: str, tmp_path: Path, **static: Any) -> Any:
    """The class that `archc compile --pairs` writes."""
    (tmp_path / "complex.arch").write_text(text)
    out = tmp_path / f"pairs_{name}"
    archc.compile(tmp_path / "complex.arch", out, layers=[name], static=static, pairs=True)
    assert '"pairs": true' in (out / "manifest.json").read_text()
    title = f"{tmp_path.name}_{name}"
    spec = importlib.util.spec_from_file_location(title, out / "__init__.py", submodule_search_locations=[str(out)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def agree(whole: nn.Module, pairs: nn.Module, args: tuple[Tensor, ...]) -> None:
    """The same values and all gradients, the pairs being those of torch.view_as_real."""
    pairs.load_state_dict({name: apart(value) for name, value in whole.state_dict().items()})
    apart_args = tuple(apart(a.detach()).clone().requires_grad_(a.requires_grad) for a in args)
    mine, theirs = pairs(*apart_args), whole(*args)
    close(mine, apart(theirs), 1e-10)
    ct = torch.randn_like(theirs)
    wrt = [*(a for a in args if a.requires_grad), *whole.parameters()]
    wrt_apart = [*(a for a in apart_args if a.requires_grad), *pairs.parameters()]
    for a, b in zip(torch.autograd.grad(mine, wrt_apart, apart(ct)), torch.autograd.grad(theirs, wrt, ct), strict=True):
        close(a, apart(b), 1e-10)


def exports(module: nn.Module, args: tuple[Tensor, ...]) -> None:
    """By torch.export, with no complex tensor at its boundary or inside."""
    args = tuple(apart(a.detach()) for a in args)
    program = torch.export.export(module, args)
    met = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert met and not any(value.is_complex() for value in met)
    close(program.module()(*args), module(*args), 1e-12)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("name", REFERENCES)
def test_transforms_in_pairs(name: str, norm: str, tmp_path: Path) -> None:
    made_ = paired(TRANSFORMS, name, tmp_path, norm=norm)
    for sizes in SIZES:
        numbers = {"w": sizes[1]} if name == "Irfft" else {}
        pairs, args = made_(**numbers, dtype=torch.float64), (operand(name, sizes, torch.float64),)
        agree(made(name, norm, sizes[1], torch.float64), pairs, args)
    exports(pairs, args)


def test_arithmetic_in_pairs(tmp_path: Path) -> None:
    whole, pairs = layer(MIXED, "Mixed")(c=3, dtype=torch.float64), paired(MIXED, "Mixed", tmp_path)(c=3, dtype=torch.float64)
    agree(whole, pairs, arguments())
    exports(pairs, arguments())
    assert pairs.w.shape == (3, 3, 2) and pairs.bfloat16().w.dtype == torch.bfloat16
    torch.manual_seed(0)
    assert abs(paired(MIXED, "Mixed", tmp_path)(c=50).w.std().item() - 1) < 0.05


MODEL = """
layer Turn(c: axis) {
    param w[c]: complex = complex(1, normal(1))
    forward(z[..., c]: complex) -> (y[..., c]: complex, size[...]) {
        y = z * w
        size = sum[c](abs(z))
    }
}
layer Model(c: axis) {
    turn = Turn(c=c)
    buffer last[c]: complex = 0
    forward(x[n, t, c]) -> [n, t, c] {
        z, size = turn(complex(x, size_of(x)))
        u, more = turn(z)
        scan t {
            state S[n, c] = complex(0, 0)
            S = S * 0.5 * exp(complex(0, 1)) + u
            yield y = abs(S)
        }
        when training { update last = mean[n, t](u) }
        return y + size + more + real(last)
    }
}
fn size_of(x[n, t, c]) -> [n, t, c] { return x * x }
"""


def test_sub_modules_loops_and_buffers_in_pairs(tmp_path: Path) -> None:
    whole, pairs = layer(MODEL, "Model")(c=3, dtype=torch.float64), paired(MODEL, "Model", tmp_path)(c=3, dtype=torch.float64)
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    agree(whole, pairs, (x,))
    close(pairs.last, apart(whole.last), 1e-12)
    agree(whole.eval(), pairs.eval(), (x,))
    exports(pairs, (x,))


def test_spectral_convolution_in_pairs(tmp_path: Path) -> None:
    out = tmp_path / "fno"
    archc.compile("std.spectral", out, layers=["FNO2d"], pairs=True)
    text = (out / "modules.py").read_text()
    assert "complex" not in text and "fft" not in text


def test_a_transform_has_no_step() -> None:
    """Each frequency needs every element; along another axis there is one."""
    text = """layer Filter(c: axis) {
        forward(x[n, t, c]) -> [n, t, c] {
            z = fft[%s](x)
            scan t {
                state S[n, c] = complex(0, 0)
                S = 0.5 * S + z
                yield y = abs(S)
            }
            return y
        }
    }"""
    with pytest.raises(NotImplementedError, match="it needs all elements of t at once"):
        layer(text % "t", "Filter")(c=3).step(torch.randn(2, 3))
    stepped, x, held = layer(text % "c", "Filter")(c=3), torch.randn(2, 4, 3), None
    found = []
    for t in range(4):
        y, held = stepped.step(x[:, t], held)
        found.append(y)
    close(torch.stack(found, 1), stepped(x), 1e-5)


def test_kernels_in_cpp_leave_complex_numbers_to_torch(tmp_path: Path) -> None:
    """What is float before and after is still one kernel, and the values are the same."""
    text = """layer Smooth(c: axis, eps: float = 1e-5) {
        param w[c]: complex = complex(1, normal(1))
        param gamma[c] = 1
        forward(x[n, t, c]) -> [n, t, c] {
            axis f = |t| // 2 + 1
            y = x / sqrt(mean[c](x * x) + eps) * gamma
            z = irfft[f = t](rfft[t = f](y) * w)
            return z * sigmoid(z) + real(exp(complex(y, z)))
        }
    }"""
    (tmp_path / "smooth.arch").write_text(text)
    archc.compile(tmp_path / "smooth.arch", tmp_path / "cpp", targets=["torch", "cpp"])
    assert "complex" not in (tmp_path / "cpp" / "kernels.cpp").read_text()
    title = f"{tmp_path.name}_cpp"
    spec = importlib.util.spec_from_file_location(title, tmp_path / "cpp" / "__init__.py",
                                                  submodule_search_locations=[str(tmp_path / "cpp")])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    spec.loader.exec_module(module)
    fused, plain = module.Smooth(c=3, dtype=torch.float64), layer(text, "Smooth")(c=3, dtype=torch.float64)
    fused.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    for mine, theirs in zip(*([y, *torch.autograd.grad(y.sum(), [x, *m.parameters()])]
                              for m in (fused, plain) for y in [m(x)]), strict=True):
        close(mine, theirs, 1e-12)
