"""`random`: a draw for every element of its axes. The evaluator's draws follow from its seed and the node's serial alone."""

from __future__ import annotations

from math import ceil, prod
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from archc.ir.forms.base import Form, demand
from archc.ir.graph import Node, Random
from archc.ir.values import Run, Value

if TYPE_CHECKING:
    import numpy as np

KINDS = {"uniform": 2, "normal": 2, "trunc_normal": 4, "bernoulli": 1, "orthogonal": 1, "sparse": 2}
"""The kinds of draw and the number of parameters of each."""


def verify(node: Node) -> None:
    attrs = node.attrs
    demand(isinstance(attrs, Random), "the attributes of random are a Random")
    assert isinstance(attrs, Random)
    demand(attrs.kind in KINDS, f"there is no random {attrs.kind}")
    demand(len(node.args) == KINDS[attrs.kind], f"random {attrs.kind} has {KINDS[attrs.kind]} parameters")
    axes = frozenset(attrs.axes)
    demand(len(axes) == len(attrs.axes), "random draws along an axis once")
    demand(node.type.dtype == "float" and node.axes == axes, "random is a float along its axes")
    for arg in node.args:
        demand(arg.type.dtype == "float", f"a parameter of random {attrs.kind} is a float")
        demand(arg.axes <= axes, f"a parameter of random {attrs.kind} has axes among those drawn")
        demand(not arg.axes or attrs.kind not in ("orthogonal", "sparse"), f"a parameter of random {attrs.kind} is a scalar")
    demand(len(axes) >= 2 or attrs.kind not in ("orthogonal", "sparse"), f"random {attrs.kind} needs two axes")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    """Draws in the order of the node's axes, then scaled by the parameters: one draw serves all candidates of a batch."""
    import numpy as np

    assert isinstance(node.attrs, Random)
    kind, order = node.attrs.kind, node.attrs.axes
    generator = np.random.default_rng([run.seed, node.attrs.serial, *run.steps])
    shape = run.shape(order)
    if kind in ("orthogonal", "sparse"):
        gain = [float(arg.array.flat[0]) for arg in args]
        raw = _orthogonal(generator, shape) * gain[0] if kind == "orthogonal" else _sparse(generator, shape, *gain)
        drawn, parameters = raw, args[:0]
    else:
        drawn = generator.standard_normal(shape) if kind == "normal" else generator.random(shape)
        parameters = args
    axes = run.sorted(order)
    value = Value(np.asarray(drawn).transpose([order.index(axis) for axis in axes]), axes)
    (x, *p), axes = run.together(value, *parameters)
    if kind == "uniform":
        x = p[0] + (p[1] - p[0]) * x
    elif kind == "normal":
        x = p[0] + p[1] * x
    elif kind == "bernoulli":
        x = x < p[0]
    elif kind == "trunc_normal":
        x = _truncated(x, *p)
    return Value(np.asarray(x, run.dtype), axes)


def _orthogonal(generator: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Rows or columns orthonormal, whichever are fewer; as torch.nn.init.orthogonal_ does."""
    import numpy as np

    rows, columns = shape[0], prod(shape[1:])
    flat = generator.standard_normal((rows, columns))
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))
    return np.asarray((q.T if rows < columns else q).reshape(shape))


def _sparse(generator: Any, shape: tuple[int, ...], sparsity: float, std: float) -> np.ndarray[Any, Any]:
    """Normal, with the same share of zeros in every column; as torch.nn.init.sparse_ does."""
    import numpy as np

    rows, columns = shape[0], prod(shape[1:])
    flat = generator.standard_normal((rows, columns)) * std
    for column in range(columns):
        flat[generator.permutation(rows)[: ceil(sparsity * rows)], column] = 0
    return np.asarray(flat.reshape(shape))


def _truncated(u: Any, mean: Any, std: Any, low: Any, high: Any) -> np.ndarray[Any, Any]:
    """A normal draw between two bounds, by the inverse of the distribution function."""
    import numpy as np

    standard = NormalDist()
    cdf, inverse = np.vectorize(standard.cdf, otypes=[float]), np.vectorize(standard.inv_cdf, otypes=[float])
    below, above = cdf((low - mean) / std), cdf((high - mean) / std)
    share = np.clip(below + (above - below) * u, 1e-16, 1 - 1e-16)
    return np.asarray(np.clip(mean + std * inverse(share), low, high))


RANDOM_FORM = Form("random", verify, evaluate)
