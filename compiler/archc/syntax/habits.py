"""What people write who come from elsewhere: signs, words, names and snippets, each with the kind or the hint that explains it.

To explain one more mistake, add a row.
"""

from __future__ import annotations

from typing import Any

from archc.diagnostics import syntax_codes as codes
from archc.diagnostics.model import Kind

SIGNS: tuple[tuple[str, Kind, dict[str, Any]], ...] = (
    ("**", codes.POWER_SIGN, {}),
    ("&&", codes.LOGIC_SIGN, {"found": "&&", "word": "and"}),
    ("||", codes.LOGIC_SIGN, {"found": "||", "word": "or"}),
    ("&", codes.LOGIC_SIGN, {"found": "&", "word": "and"}),
    ("!", codes.LOGIC_SIGN, {"found": "!", "word": "not"}),
    ("~", codes.LOGIC_SIGN, {"found": "~", "word": "not"}),
    ("@", codes.MATMUL_SIGN, {}),
    (";", codes.SEMICOLON, {}),
    ("/*", codes.COMMENT_SIGN, {}),
    ("\\", codes.LINE_JOIN, {}),
    ("?", codes.QUESTION, {}),
    ("'", codes.QUOTES, {}),
    ('"""', codes.COMMENT_SIGN, {}),
    ('"', codes.UNCLOSED_STRING, {}),
    *((sign + "=", codes.AUGMENTED, {"found": sign + "=", "sign": sign}) for sign in ("//", "+", "-", "*", "/", "%", "^")),
)
"""Texts that are no sign of the language. The place is that of the whole text, wherever in it the parser stopped."""

DECLARATIONS = {
    "def": "write 'fn name(x) {...}'",
    "function": "write 'fn name(x) {...}'",
    "func": "write 'fn name(x) {...}'",
    "class": "write 'layer Name(...) {...}'",
    "module": "write 'layer Name(...) {...}'",
    "model": "write 'layer Name(...) {...}'",
    "struct": "write 'layer Name(...) {...}'",
    "from": "write 'import std.norm': its names become bare",
    "include": "write 'import std.norm'",
    "use": "write 'import std.norm'",
}
STATEMENTS = {
    "let": "write 'name = value'",
    "var": "write 'name = value'",
    "const": "write 'name = value'",
    "auto": "write 'name = value'",
    "elif": "write 'else if'",
    "elsif": "write 'else if'",
    "while": "loops are 'scan t {...}' over an axis, and 'for x in list {...}', which is unrolled",
    "do": "loops are 'scan t {...}' over an axis, and 'for x in list {...}', which is unrolled",
    "switch": "write 'if ... {...} else if ... {...}'",
    "match": "write 'if ... {...} else if ... {...}'",
    "pass": "leave the block empty",
    "break": "a loop has a fixed number of turns",
    "continue": "a loop has a fixed number of turns",
    "raise": "what must hold of sizes is checked; there are no exceptions",
    "throw": "there are no exceptions",
    "try": "there are no exceptions",
    "assert": "what must hold of sizes is checked by itself",
    "del": "names need not be freed",
    "global": "a name is known in its own block only",
    "print": "a layer is mathematics: it prints nothing",
    "with": "'with' stands after a call: 'inner(x) with { weight: w }'",
    "repeat": "name the list: 'blocks = repeat n { ... }'",
    "fn": "a fn is declared at the top of a file, or in the body of a layer",
    "layer": "a layer is declared at the top of a file",
    "import": "imports stand at the top of a file",
    "def": "a method is 'fn name(x) {...}'",
    "class": "layers are declared at the top of a file",
}
HABITS = {
    "self": "params, buffers and sub-layers are named without 'self.'",
    "None": "there is no None",
    "True": "write 'true'",
    "False": "write 'false'",
    "torch": "functions have bare names: 'exp(x)'",
    "nn": "layers have bare names: import std.norm",
    "F": "functions have bare names: 'silu(x)'",
    "np": "functions have bare names: 'exp(x)'",
    "view": "there are no views: write the split in the signature, 'x[n, (g=8 k)=c]', or an index",
    "reshape": "there are no reshapes: write the split in the signature, 'x[n, (g=8 k)=c]', or an index",
    "flatten": "a whole of two axes is 'axis c = (h d)'",
    "rearrange": "axes have names and need no rearranging; split with 'axis c = (h d)'",
    "einsum": "write 'sum[k](a * b)'",
    "matmul": "write 'sum[k](a * b)'",
    "mm": "write 'sum[k](a * b)'",
    "bmm": "write 'sum[k](a * b)'",
    "transpose": "axes have names and no order: nothing is to be transposed",
    "permute": "axes have names and no order",
    "T": "axes have names and no order: nothing is to be transposed",
    "swapaxes": "axes have names and no order",
    "unsqueeze": "names broadcast by themselves",
    "squeeze": "read the axis at 0: 'x[t = 0]'",
    "expand": "names broadcast by themselves",
    "repeat_interleave": "names broadcast by themselves",
    "shape": "the size of an axis is '|n|'",
    "size": "the size of an axis is '|n|'",
    "len": "the size of an axis is '|n|'",
    "range": "an axis used as a value is its index",
    "arange": "an axis used as a value is its index",
    "pad": "say at the index what lies outside: 'x[t = t - 1 else 0]'",
    "roll": "shift the index: 'x[t = t - 1 wrap]'",
    "concat": "write 'axis z = a + b' and 'cat[z](p, q)'",
    "stack": "write 'axis z = a + b' and 'cat[z](p, q)'",
    "masked_fill": "write 'where(mask, value, x)'",
    "gather": "index with the values: 'table[v = token]'",
    "pow": "write 'x ^ 2'",
    "conv2d": "write the sum: 'sum[c, p, q](weight * x[h = h + p - 1 else 0, w = w + q - 1 else 0])', or use std.conv",
}
"""Names of other libraries that parse but are nothing here; the checker shows these hints beside an unknown name."""


def habit(name: str) -> str:
    """What to write instead of a name that people bring along from elsewhere; "" for any other name."""
    return HABITS.get(name, "")


EXAMPLES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (
        codes.EQUAL_SIGN,
        (
            "fn f(x) { if a = b { y = 1 } }",
            "fn f(x) { return a + (b = c) }",
            "fn f(x) { y = g(a + b = c) }",
            "fn f(x) { y = a = b }",
            "fn f(x) { return a = b }",
            "fn f(x) { y = [a = b] }",
        ),
    ),
    (
        codes.CHAINED,
        (
            "fn f(x) { y = a < b < c }",
            "fn f(x) { y = g(a < b < c) }",
            "fn f(x) { y = (a < b <= c) }",
            "fn f(x) { if a < b < c { } }",
            "fn f(x) { return a < b != c }",
        ),
    ),
    (
        codes.LINE_ENDS,
        (
            "fn f(x) { y = a +\n b }",
            "fn f(x) { y = \n }",
            "fn f(x) { y = a and\n b }",
            "fn f(x) { y = a + }",
        ),
    ),
    (
        codes.LOOSE_EXPRESSION,
        (
            "fn f(x) { y(x) }",
            "fn f(x) { y[x] }",
            "fn f(x) { y.z = 1 }",
            "fn f(x) { y + 1 }",
            "fn f(x) { y\n }",
            "fn f(x) { y == 1 }",
        ),
    ),
    (
        codes.INDEX_WITHOUT_AXIS,
        (
            "fn f(x) { y = x[:, 1] }",
            "fn f(x) { y = x[-1] }",
            "fn f(x) { y = x[i + 1] }",
            "fn f(x) { y = x[i:j] }",
            "fn f(x) { y = x[n = 0:1] }",
            "fn f(x) { y = x[f(i)] }",
        ),
    ),
    (codes.SPLIT_IN_INDEX, ("fn f(x) { y = x[(g k)] }",)),
    (
        codes.MISSING_COMMA,
        (
            "fn f(x) { y = g(a b) }",
            "fn f(x) { y = [1 2] }",
            "fn f(x) { y = g(a, k=1 b) }",
            "fn f(x) { y = x[n c] }",
            "fn f(x y) { }",
            "layer A(c: axis d: axis) { }",
            "fn f(x) { y = x[n = 1 c] }",
            "fn f(x) -> (y[n] z[n]) { }",
            "fn f(x) { y = (a b) }",
            "fn f(x[n, ... c]) { }",
        ),
    ),
    (
        codes.FOREIGN_STATEMENT,
        (
            "fn f(x) { let y = 1 }",
            "fn f(x) { do { } }",
        ),
    ),
    (
        codes.COMMENT_SIGN,
        (
            "// text",
            "fn f(x) { // text\n }",
            "fn f(x) { y = 1\n// text\n }",
            "fn f(x) { }\n// text",
            "fn f( // text\n x) { }",
        ),
    ),
    (
        codes.COLON_BLOCK,
        (
            "fn f(x) { if a:\n b = 1 }",
            "fn f(x) { if a {\n b = 1 } else:\n c = 1 }",
            "fn f(x):\n return x",
            "fn f(x) -> [n]:\n return x",
            "layer A(c: axis):\n x = 1",
            "fn f(x) { scan t:\n x = 1 }",
            "fn f(x) { for j:\n x = 1 }",
            "fn f(x) -> like x:\n return x",
        ),
    ),
    (
        codes.RESULT_BRACKETS,
        (
            "fn f(x) -> n { }",
            "fn f(x) -> (n, o) { }",
            "fn f(x) -> (n) { }",
        ),
    ),
    (codes.SIZED_KIND, ("fn f(x: float[n]) { }",)),
    (codes.TYPED_NAME, ("fn f(x) { y: int = 3 }",)),
    (
        codes.SIZE_OF_VALUE,
        (
            "fn f(x) { y = |x + 1| }",
            "fn f(x) { y = a + |x + 1| }",
            "fn f(x) { y = g(|x + 1|) }",
        ),
    ),
    (
        codes.NO_VALUE,
        (
            "layer A(c: axis) { param w[c]\n }",
            "layer A(c: axis) { param w[c]\n y = 1 }",
            "layer A(c: axis) { param w[c]: int }",
        ),
    ),
    (
        codes.EXPRESSION_BODY,
        (
            "fn f(x) = x",
            "fn f(x) -> [n] = x",
            "fn f(x) -> like x = x",
            "fn f(x) return x",
            "fn f(x) -> [n] return x",
        ),
    ),
    (
        codes.OUTSIDE,
        (
            "y = 1",
            "fn f(x) { }\n\ny = 2",
            "(x)",
            "[1]",
        ),
    ),
    (
        codes.IMPORT_PATH,
        (
            'import "a"',
            "import .a",
            "import a/b",
            "import a as b",
            "import a.*",
            "import a: b",
            "import a, b",
        ),
    ),
)
"""Wrong snippets: a text whose first error leaves the parser in the same situation before the same sort of token is explained
by the same kind. No two snippets are in the same situation: one stands for all operands, operators and comparisons."""
