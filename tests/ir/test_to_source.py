"""`.arch` source from graphs: it checks, lowers to the same digest, and can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archc.checker.program import elaborate
from archc.diagnostics.model import Problems
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.lower import lower_graph
from archc.ir.text import parse
from archc.ir.to_source import to_source
from tests.checker.programs import graph, load, unit

ROOT = Path(__file__).parents[2]


def layers() -> list[tuple[Path, str]]:
    found = []
    for path in sorted([*ROOT.glob("stdlib/*.arch"), *ROOT.glob("examples/*/*.arch")]):
        program, _ = load(path.read_text())
        found += [(path, declared.name) for declared in (program.layers if program else ())]
    return found


def again(source: str) -> Graph:
    return lower_graph(unit(source))


@pytest.mark.parametrize(("path", "name"), [pytest.param(path, name, id=name) for path, name in layers()])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_layers_that_ship(path: Path, name: str, mode: str) -> None:
    program, _ = load(path.read_text())
    assert program is not None
    problems = Problems()
    found = elaborate(program, name, {}, problems)
    if found is None and any(p.kind.code == "missing-argument" for p in problems.errors):
        pytest.skip("a static choice has no default")
    assert found is not None, problems.found
    original = lower_graph(found, "forward", mode)
    assert digest(again(to_source(original, "Again"))) == digest(original)


def test_how_it_reads() -> None:
    source = """# Groups of channels are normalized.
layer Norm(channels: axis, groups: int, eps: float) {
    param gamma[(g=groups k)=channels] = 1
    buffer seen[] = 0
    forward(x[n, channels, h, w]) -> [n, channels, h, w] {
        m = mean[h, k, w](x)
        d = x - m
        update seen = seen + 1.0
        return d / sqrt(mean[h, k, w](d ^ 2) + eps) * gamma
    }
}
"""
    assert to_source(graph(source), "Norm", {"gamma": "1", "seen": "0"}) == source


def test_a_derivative_of_its_own() -> None:
    source = """fn product(a[n], b[n]) -> (y[n], z[n])
    surrogate grad(dy, dz) { a: dy * b + dz, b: none } {
    y = a * b
    z = a + b
}

layer L() {
    forward(x[n], w[n]) -> [n] {
        y, z = product(x, w)
        return y - z
    }
}
"""
    original = graph(source)
    text = to_source(original, "L")
    assert digest(again(text)) == digest(original)
    assert "surrogate grad(dy, dz) { a: dy * b + dz, b: none }" in text


@pytest.mark.parametrize("body", [
    "state s[n] = 0\n s = s * w + x\n yield y = s",
    "state s[n, k] = w\n s = s * x\n yield y = sum[k](s) + float(t)",
    "state a[n] = 0\n state b[n] = 1\n c = a + b\n a = b * x\n b = c + x[t = t - 1 else 0]\n yield y = a - b",
    "state s[n] = 0\n for k { s = (s + w) * 0.5 }\n yield y = s + exp(x)",
    "state s[n] = sum[t](x)\n yield y = s * x\n s = tanh(s)",
    "axis z = 3\n state s[n] = 0\n s = s + sum[z](x * float(z))\n yield y = s",
])
@pytest.mark.parametrize("direction", ["", " reverse"])
def test_loops(body: str, direction: str) -> None:
    weight = "w[n, k]" if "k]" in body or "for k" in body else "w[n]"
    source = f"""layer L() {{ forward(x[n, t], {weight}) -> [n, t] {{
        scan t{direction} {{ {body}\n finally last = {body.split('state ')[1][0]}\n }}
        return y{'' if 'n, k' in body else ' + last'} }}\n }}"""
    original = graph(source)
    assert digest(again(to_source(original, "L"))) == digest(original)


@pytest.mark.parametrize("body", [
    "s = tanh(weigh(s)) * x",  # a method sees all of the weight
    "s = s + weigh(s * x[t = t - 1 else 0])\n for k { s = s + x * k * weigh(s) }",
])
def test_a_step_that_holds_all_of_its_own_axis(body: str) -> None:
    """In a loop a name means its element: the source goes along an axis of its own."""
    original = graph(f"""layer L(t: axis) {{
        param w[t, k=3] = 1
        fn weigh(s[n]) -> [n] {{ return sum[t, k](tanh(w * s)) }}
        forward(x[n, t]) -> [n, t] {{
            scan t {{ state s[n] = 0\n {body}\n yield y = s }}
            return y
        }} }}""")
    source = to_source(original, "L")
    assert "scan t2 {" in source and "x[t = t2]" in source and "[t2 = t]" in source
    found = again(source)
    assert digest(found) == digest(original)
    x, w = np.random.default_rng(0).normal(size=(2, 5)), np.random.default_rng(1).normal(size=(5, 3))
    inputs, numbers = {"x": x, "w": w}, {"t": 5}
    expected, result = (next(iter(evaluate(g, inputs, numbers).outputs.values())) for g in (original, found))
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_names_that_the_language_has_taken() -> None:
    original = parse("""graph f(layer: float[sum, max], param if.0: float[max])
      numbers max
      %exp = mul %layer, %if.0 : float[sum, max]
      %0 = exp %exp : float[sum, max]
      %1 = add %0, %exp : float[sum, max]
      return r[sum, max] = %1""")
    assert digest(again(to_source(original, "L"))) == digest(original)


@pytest.mark.parametrize("expression", [
    "x - (y - x) - y", "x / (y / x) / y", "-(x ^ 2)", "(-x) ^ 2", "-(x - y)", "2.0 ^ (x ^ y)", "(x ^ y) ^ 2.0",
    "x * (y + x) * -y",
    "where(not (x < y) and (x == y or y > x), x, y)", "float(count(not (x < y) or y < x))", "x - -1.5", "(x + y) % (x * y)",
    "x // (y % x)", "where(x > 0, 1.0 - 3.0 * exp(2.0), 1 / 0.0001)", "x * float(-(3 - |n|) // 2 * max(|n|, 2))", "inf - inf + x",
    "where(x < y and true or false, x, y)", "x[n = n edge] + x[n = n // 2 else 1.0]", "float(float(x)) * float(2 ^ |n|)",
    "-abs(x)", "sum[n](x) * |n|", "max[n](x) + max(x, y)", "x[n = |n| - 1 - n] - x[n = n - 1 else -1.0]",
])
def test_brackets_are_where_they_must_be(expression: str) -> None:
    original = graph(f"layer L() {{ forward(x[n], y[n]) -> [n] {{ return {expression} }} }}")
    assert digest(again(to_source(original, "L"))) == digest(original)


def test_checks_of_sizes_are_kept() -> None:
    source = "layer L() { forward(x[n], y[m]) -> [n] { axis n = 2 * |m|\n return x } }"
    original = graph(source)
    assert original.checks
    assert digest(again(to_source(original, "L"))) == digest(original)


@pytest.mark.parametrize(("text", "message"), [
    ("""graph f(x: float[n])
      %0 = accumulate %x[n = 0 edge] keep [] : float[n]
      return r[n] = %0""", "`accumulate` has no words"),
    ("""graph f(x: float[n])
      %0 = random trunc_normal[n] #0 0.0, 1.0, -2.0, 2.0 : float[n]
      return r[n] = %0""", "a draw for a param"),
    ("""graph f(x: float[n])
      %0 = member a forward #0 (%x [n]) -> (float[n]) : float
      %1 = item 0 %0 : float[n]
      return r[n] = %1""", "sub-modules are inlined"),
    ("graph f(x: float[], buffer b: float[])\n  update b = %x", "a graph that only stores"),
    ("""graph f(x: float[u])
      axis u = 2*h
      axis z = h
      return r[u, z] = %x""", "no name for the size h"),
])
def test_what_has_no_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_source(parse(text), "L")
