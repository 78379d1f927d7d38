"""What data decide of a layer: the shape it is fed and the arguments of its constructor."""

from __future__ import annotations

from typing import Any

import pytest

from archc.checker.program import Program
from archc.checker.standalone import elaborate
from archc.diagnostics.model import Problems
from archc.ir.lower import lower_package
from archc.ir.module import Module
from archc.train.errors import TrainError
from archc.train.fit import arguments, shaping, tensors

LAYERS = """
layer Flat(i: axis, o: axis, hidden: axis = 8) {
    param w[o, i] = 0
    param u[hidden] = 0
    forward(x[..., i]) -> [..., o] { return sum[i](w * x) + sum[hidden](u) }
}
layer Rows(i: axis) {
    param w[i] = 1
    forward(x[n, i]) -> [n] { return sum[i](w * x) }
}
layer Image(channel: axis, classes: axis, c: axis) {
    param w[channel, classes] = 0
    param u[c] = 0
    forward(image[n, channel, h, w2]) -> [n, classes] { return sum[channel](w * mean[h, w2](image)) + sum[c](u) }
}
layer Grouped(channels: axis, groups: int = 2) {
    param v[channels] = 1
    forward(x[n, (g=groups k)=channels]) -> [n, channels] { return x * v }
}
layer Plane(classes: axis) {
    param w[classes] = 1
    forward(x[n, h, w2]) -> [n, classes] { return w * mean[h, w2](x) }
}
layer Field(i: axis, o: axis) {
    param weight[o, i] = 1
    forward(x[n, i, h, w]) -> [n, o, h, w] { return sum[i](weight * x) }
}
layer Tokens(v: axis, classes: axis) {
    param table[v, classes] = 1
    forward(token[n, t]: int) -> [n, classes] { return mean[t](table[v = token]) }
}
layer Two(i: axis) { forward(x[n, i], y[n, i]) -> like x { return x + y } }
layer Whole(i: axis) { forward(x[n, i]) -> [] { return sum[n, i](x) } }
layer Options(i: axis, eps: float = 0.1, flag: bool = true, order: int = 1) {
    forward(x[n, i]) -> like x { return x * eps * order }
}
"""


def layer(name: str) -> Module:
    problems = Problems()
    program = Program.load(LAYERS, "fit.arch", lambda dotted, path: None, problems)
    assert program is not None
    unit = elaborate(program, name, {}, problems)
    assert unit is not None and not problems.errors, [str(p) for p in problems.errors]
    package = lower_package([unit], "fit.arch")
    return package.modules[package.roots[0]]


def fit(name: str, shape: tuple[int, ...], results: int | tuple[int, ...], integer: bool = False,
        **given: Any) -> tuple[Any, dict[str, Any]]:
    module = layer(name)
    wanted = tensors(module)
    fed, _ = shaping(wanted, shape, name, integer)
    return fed, arguments(module, wanted, fed, (results,) if isinstance(results, int) else results, given)


@pytest.mark.parametrize(("name", "shape", "results", "given", "fed", "found"), [
    ("Flat", (30,), 2, {}, (30,), {"i": 30, "o": 2}),
    ("Flat", (1, 8, 8), 10, {"hidden": 4}, (64,), {"i": 64, "o": 10, "hidden": 4}),
    ("Rows", (5,), 1, {}, (5,), {"i": 5}),
    ("Image", (3, 8, 8), 10, {"c": 16}, (3, 8, 8), {"channel": 3, "classes": 10, "c": 16}),
    ("Image", (8, 8), 10, {"c": 16}, (1, 8, 8), {"channel": 1, "classes": 10, "c": 16}),
    ("Grouped", (6,), 6, {}, (6,), {"channels": 6}),
    ("Plane", (1, 8, 8), 4, {}, (8, 8), {"classes": 4}),
    ("Field", (3, 8, 8), (2, 8, 8), {}, (3, 8, 8), {"i": 3, "o": 2}),
    ("Field", (8, 8), (8, 8), {"o": 4}, (1, 8, 8), {"i": 1, "o": 4}),
])
def test_what_data_decide(name: str, shape: tuple[int, ...], results: int | tuple[int, ...], given: dict[str, Any],
                          fed: tuple[int, ...], found: dict[str, Any]) -> None:
    assert fit(name, shape, results, **given) == (fed, found)


def test_indices_go_to_layers_of_indices() -> None:
    assert fit("Tokens", (7,), 3, integer=True, v=50) == ((7,), {"v": 50, "classes": 3})


@pytest.mark.parametrize(("name", "shape", "results", "given", "sentence"), [
    ("Image", (3, 8, 8), 10, {}, "Image needs c: add --arg c=NUMBER"),
    ("Image", (64,), 10, {"c": 1}, r"Image takes image\[n, channel, h, w2\], and an example of the data is 64"),
    ("Plane", (3, 8, 8), 4, {}, r"Plane takes x\[n, h, w2\], and an example of the data is 3 x 8 x 8"),
    ("Flat", (30,), 2, {"i": 29}, r"Flat\(i=29\) does not fit: the data have 30"),
    ("Flat", (30,), 2, {"o": 3}, r"Flat\(o=3\) does not fit: the loss needs 2"),
    ("Grouped", (6,), 2, {}, r"Grouped\(channels=6\) does not fit: the loss needs 2"),
    ("Field", (3, 8, 8), (2, 8, 8), {"o": 3}, r"Field\(o=3\) does not fit: the loss needs 2"),
    ("Flat", (30,), 2, {"width": 3}, "Flat has no argument 'width'; its arguments are i, o, hidden"),
    ("Flat", (30,), 2, {"hidden": -1}, "the argument 'hidden' of Flat is a size, which '-1' is not"),
    ("Flat", (30,), 2, {"hidden": 2.5}, "the argument 'hidden' of Flat is a size, which '2.5' is not"),
    ("Options", (3,), 3, {"flag": 1}, "the argument 'flag' of Options is of kind bool, which '1' is not"),
    ("Options", (3,), 3, {"order": True}, "the argument 'order' of Options is of kind int, which 'true' is not"),
    ("Options", (3,), 3, {"eps": "small"}, "the argument 'eps' of Options is of kind float, which 'small' is not"),
    ("Two", (3,), 3, {}, "archc train feeds a layer one tensor, and Two takes 2: x, y"),
    ("Whole", (3,), 3, {}, "Whole has no axis for the examples in its result"),
])
def test_what_does_not_fit(name: str, shape: tuple[int, ...], results: int | tuple[int, ...], given: dict[str, Any],
                           sentence: str) -> None:
    with pytest.raises(TrainError, match=sentence):
        fit(name, shape, results, **given)


def test_indices_and_measurements_do_not_mix() -> None:
    with pytest.raises(TrainError, match=r"Rows takes measurements \(x\[n, i\]\), and the data hold indices"):
        fit("Rows", (5,), 1, integer=True)
    with pytest.raises(TrainError, match="Tokens takes indices"):
        fit("Tokens", (5,), 3, v=9)


def test_arrays_become_tensors_of_the_shape_that_is_fed() -> None:
    import numpy as np
    import torch

    _, shape = shaping(tensors(layer("Flat")), (1, 8, 8), "Flat", False)
    assert shape(np.zeros((5, 1, 8, 8), np.float32)).shape == (5, 64)
    assert shape(np.zeros((0, 1, 8, 8), np.float32)).shape == (0, 64)
    assert shape(np.zeros((1, 1, 8, 8), np.float32)).dtype == torch.float32
