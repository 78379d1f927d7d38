"""Which rule lowers a node: by its op, or by the form of its row in the op table."""

from __future__ import annotations

from archc.codegen.torch import calls, elementwise, matrices, products, reads, reductions, scans, transforms
from archc.codegen.torch.lower import Rule
from archc.ir.graph import Library, Node
from archc.ops.table import OPS

RULES: dict[str, Rule] = {
    "const": elementwise.constant,
    "size": elementwise.size,
    "iota": elementwise.index,
    "table": elementwise.table,
    "input": elementwise.port,
    "expand": elementwise.expand,
    "where": elementwise.where,
    "ipow": elementwise.whole_power,
    "maximum": elementwise.extremum,
    "minimum": elementwise.extremum,
    "atan2": elementwise.extremum,
    "to_float": elementwise.to_float,
    "complex": elementwise.put_together,
    "real": elementwise.part,
    "imag": elementwise.part,
    "conj": elementwise.part,
    "read": reads.read,
    "accumulate": reads.accumulate,
    "random": calls.random,
    "call": calls.call,
    "member": calls.member,
    "item": calls.item,
    "scan": scans.scan,
}

LIBRARY: dict[str, Rule] = {
    "contract": products.contract,
    "convolution": products.convolution,
    "transposed": products.transposed,
    "pool": products.pool,
    "cat": products.cat,
    "stack": products.stack,
    "softmax": reductions.normalise,
    "logsumexp": reductions.reduce,
    "standardise": reductions.standardise,
    "dropout": calls.dropout,
}

FORMS: dict[str, Rule] = {
    "elementwise": elementwise.general,
    "reduce": reductions.reduce,
    "normalise": reductions.normalise,
    "matrix": matrices.matrix,
    "transform": transforms.fourier,
}


def rule_of(current: Node) -> Rule:
    if current.op == "library":
        assert isinstance(current.attrs, Library)
        return LIBRARY[current.attrs.kind]
    if current.op in RULES:
        return RULES[current.op]
    return FORMS[OPS[current.op].form]
