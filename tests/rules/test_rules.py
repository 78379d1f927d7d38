"""Every rule is evaluated at random, fires when all rules are there, and is held back where a condition of it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.evaluate import evaluate
from archc.ir.graph import Fourier, Graph, Node, Output, Port, topological
from archc.ir.verify import verify
from archc.ops.table import OPS
from archc.passes.simplify import apply, fired, simplify
from archc.rules.keeps import Keeps
from archc.rules.pattern import Any, Binding, Literal, Operation, Pattern, instantiate
from archc.rules.read import Rule, read_rule, rules

N, C, K = (Axis(name, Size.symbol(name)) for name in "nck")
F = Axis("f", C.size // 2 + 1)
SIZES = {"n": 7, "c": 3, "k": 4}
SETS = (frozenset({C}), frozenset({K}))


# ------------------------------------------------------------------------------------------------- operands for a rule
def uses(pattern: Pattern) -> Iterator[tuple[str, str]]:
    """(name, dtype) for every place where a name stands for a value."""
    if isinstance(pattern, Operation):
        letters = OPS[pattern.op].dtypes if pattern.op in OPS else "a"
        for arg, letter in zip(pattern.args, letters, strict=False):
            if isinstance(arg, Any):
                # `z` is what rules call complex numbers; what a transform gives back as floats it takes as floats.
                yield arg.name, "bool" if letter == "b" else "complex" if arg.name == "z" else "float"
            yield from uses(arg)


def sets(pattern: Pattern) -> Iterator[tuple[str, str]]:
    """(name, operation) for every set of axes, outermost first."""
    if isinstance(pattern, Operation):
        for name in pattern.over or ():
            yield name, pattern.op
        for arg in pattern.args:
            yield from sets(arg)


def operands(rule: Rule, broken: str = "") -> Binding:
    """Values for a rule's names under which its conditions hold, but for `broken`, where they do not."""
    conditions = [text for text, _ in rule.conditions]
    smooth = {arg.name for arg in rule.left.args if isinstance(arg, Any) and OPS[rule.left.op].dtypes.startswith("v")}
    names = dict.fromkeys(name for name, _ in sets(rule.left))
    bound: Binding = dict(zip(names, SETS, strict=False))
    for name, op in sets(rule.left):
        if op in OPS and OPS[op].form == "transform":
            bound[name] = Fourier(frozenset({K}), (C, F) if op in ("rfft", "irfft") else None, "ortho")
    expands = any(op == "expand" for _, op in sets(rule.left))
    for name, dtype in dict(uses(rule.left)).items():
        axes = frozenset({N}) if expands else frozenset({N, C, K})
        wish = {text: text != broken for text in conditions if f"({name})" in text or text.startswith(f"{name} ")}
        for text, holds in wish.items():
            if found := re.fullmatch(r"(int|float|bool|complex)\(\w+\)", text):
                dtype = found[1] if holds else "float" if found[1] != "float" else "complex" if name in smooth else "int"
            if re.fullmatch(rf"axes\({name}\) < axes\(\w+\)", text):
                axes = frozenset({N}) if holds else frozenset({N, C, K})
        value: Node = Port(name, Type(dtype, axes), layout_of(sorted(axes, key=lambda axis: axis.name))).node
        if wish.get(f"const({name})"):
            value = build.const(0.5 + len(bound))
        if wish.get(f"{name} != 0"):
            value = build.apply("positive", value)
        bound[name] = value
    return bound


def graph_of(node: Node) -> Graph:
    ports = [Port(n.attrs, n.type, layout_of(sorted(n.axes, key=lambda a: a.name)))  # type: ignore[arg-type]
             for n in topological((node,)) if n.op == "input"]
    layout = layout_of(sorted(node.axes, key=lambda axis: axis.name))
    return Graph("rule", tuple(sorted(ports, key=lambda port: port.name)), (Output("out", node, layout),), numbers=tuple(SIZES))


def inputs_for(graph: Graph, keeps: Keeps, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values with everything in them that the promise covers."""
    found = {}
    for port in graph.inputs:
        shape = tuple(SIZES[dim[0].name] for dim in port.layout)
        if port.type.dtype == "bool":
            found[port.name] = rng.integers(0, 2, shape).astype(bool)
        elif port.type.dtype == "int":
            found[port.name] = rng.integers(-4, 5, shape)
        elif port.type.dtype == "complex":
            found[port.name] = rng.normal(size=shape) + 1j * rng.normal(size=shape)
        elif keeps is Keeps.UP_TO_REASSOCIATION:
            found[port.name] = rng.uniform(0.2, 2.0, shape)
        else:
            values = rng.integers(-3, 4, shape) / 2
            special = rng.choice([np.nan, np.inf, -np.inf, 0.0, 1e300, 1e-300], shape)
            found[port.name] = np.where(rng.uniform(size=shape) < 0.4, special, values) if keeps is Keeps.EXACT else values
    return found


def counterexample(rule: Rule, tries: int = 5) -> str | None:
    """Inputs for which the two sides of a rule differ, and both values."""
    left = instantiate(rule.left, operands(rule))
    right = apply(rule, left)
    if right is None:
        return f"{rule.text}\n  does not match its own left side"
    before, after = graph_of(left), graph_of(left).with_roots([right])
    verify(after)
    for seed in range(tries):
        inputs = inputs_for(before, rule.keeps, np.random.default_rng(seed))
        a, b = (evaluate(graph, inputs, SIZES).outputs["out"] for graph in (before, after))
        tolerance = 0.0 if rule.keeps is Keeps.EXACT else 1e-12
        wrong = ~np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            given = {name: array[place] if array.shape == a.shape else array.tolist() for name, array in inputs.items()}
            values = ", ".join(f"{name} = {value}" for name, value in given.items())
            return f"{rule.text}\n  with {values}\n  the left side is {a[place]}, the right side is {b[place]}"
    return None


# ------------------------------------------------------------------------------------------------- tests
def by_name(rule: Rule) -> str:
    return rule.name


@pytest.mark.parametrize("rule", rules(), ids=by_name)
def test_both_sides_are_equal(rule: Rule) -> None:
    assert (found := counterexample(rule)) is None, found


@pytest.mark.parametrize("rule", rules(), ids=by_name)
def test_it_fires_among_all_rules(rule: Rule) -> None:
    fired.clear()
    simplify(graph_of(instantiate(rule.left, operands(rule))), Keeps)
    assert fired[rule.name], f"{rule.text}\n  never fires: others come first: {dict(fired)}"


@pytest.mark.parametrize(("rule", "condition"), [(r, text) for r in rules() for text, _ in r.conditions],
                         ids=lambda value: value.name if isinstance(value, Rule) else value)
def test_a_condition_holds_it_back(rule: Rule, condition: str) -> None:
    left = instantiate(rule.left, operands(rule, broken=condition))
    assert apply(rule, left) is None


def test_a_wrong_rule_shows_a_counterexample() -> None:
    found = counterexample(read_rule("rule wrong: x - y => y - x  # exact"))
    assert found is not None and "the left side is" in found and "x = " in found


def test_a_rule_that_only_reassociates_is_not_exact() -> None:
    assert counterexample(read_rule("rule wrong: x * 0 => 0  # exact"))
    assert counterexample(read_rule("rule wrong: exp(x) - 1 => expm1(x)  # exact"))


@pytest.mark.parametrize(("line", "message"), [
    ("rule a: x + y", "no rule"),
    ("rule a: x => x + 0  # exact", "an operation"),
    ("rule a: x + 0 => y  # exact", "names what the left does not: y"),
    ("rule a: x + y => y when sunny(x)  # exact", "no condition"),
    ("rule a: sum[x](x) => x  # exact", "one name is a value and a set"),
])
def test_a_line_that_is_no_rule(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rule(line)


def test_literals_of_both_kinds() -> None:
    rule = read_rule("rule a: x * 1 => x  # exact")
    assert rule.left == Operation("mul", (Any("x"), Literal(1)))
    x = Port("x", Type("int"), ()).node
    assert apply(rule, build.apply("mul", build.const(1), x)) is x
