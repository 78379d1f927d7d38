"""The diagnostics of texts that do not parse. `archc.diagnostics.codes` has all others."""

from __future__ import annotations

from archc.diagnostics.declare import declare

# fmt: off
SYNTAX = declare(
    "syntax", "A word or sign stands where the language has no use for it", title="expected {expected}, found {found}",
    hint="{way_out}",
)
UNCLOSED = declare(
    "unclosed", "A bracket or brace is opened and never closed", title="'{opened}' is never closed", here="opened here",
    hint="add the '{closer}' that is missing",
)
STRAY_BRACKET = declare(
    "stray-bracket", "A bracket or brace closes nothing", title="{found} closes nothing",
    hint="take it away, or open it before",
)
CHARACTER = declare(
    "character", "A character has no meaning in the language", title="{character} has no meaning here", hint="{way_out}",
)
UNCLOSED_STRING = declare(
    "unclosed-string", "A string is not closed on its line", title="a string does not end on its line", here="has no partner",
    hint="a string begins and ends with '\"' on one line",
)
QUOTES = declare("quotes", "A string stands in single quotes", title="strings stand in double quotes", hint='write "..."')
NUMBER_NAME = declare(
    "number-name", "A number runs into a name", title="'{word}' is neither a number nor a name", hint="{way_out}",
)
LETTERS = declare(
    "letters", "A name has a letter that is not one of a to z",
    title="names are written with the letters a to z, digits and '_'", here="{character}", hint="{way_out}",
)
POWER_SIGN = declare("power-sign", "A power is written as in Python", title="a power is written '^'", hint="write 'x ^ 2'")
LOGIC_SIGN = declare(
    "logic-sign", "A logical operation is written as in C", title="'{found}' is written '{word}'",
    hint="the words are 'and', 'or' and 'not'",
)
MATMUL_SIGN = declare(
    "matmul-sign", "A matrix product is written as in Python",
    title="there is no '@': a matrix product is a sum over the axis that both have", hint="write 'sum[k](a * b)'",
)
SEMICOLON = declare(
    "semicolon", "A statement ends with a semicolon", title="a statement ends with its line, not with ';'",
    hint="take the ';' away, or begin a new line",
)
COMMENT_SIGN = declare(
    "comment-sign", "A comment is written as in another language", title="a comment begins with '#'", hint="write '# ...'",
)
LINE_JOIN = declare(
    "line-join", "A line ends with a backslash", title="a backslash does not join lines",
    hint="put the expression into parentheses: it may then go on over several lines",
)
QUESTION = declare(
    "question", "A choice is written with a question mark",
    title="there is no '?': a choice of values is 'where(condition, a, b)'",
    hint="use 'where' for values, or 'if condition { ... } else { ... }' for a static choice",
)
AUGMENTED = declare(
    "augmented", "A value is changed in place", title="there is no '{found}': a name is given a value once",
    hint="give the result a name of its own, as in 'z = y {sign} ...'; in a scan, 'S = S {sign} ...' changes a state",
)
EQUAL_SIGN = declare(
    "equal-sign", "'=' stands where values are compared", title="values are compared with '=='",
    here="this gives a name a value", hint="write '=='",
)
CHAINED = declare("chained", "Comparisons stand in a chain", title="comparisons do not chain", hint="write 'a < b and b < c'")
LINE_ENDS = declare(
    "line-ends", "A line ends in the middle of an expression", title="the line ends where an operand is expected",
    hint="put the expression into parentheses if it goes on over several lines",
)
RETURN_NOTHING = declare(
    "return-nothing", "A return has no value", title="'return' needs a value",
    hint="write 'return x'; a function with named results has no 'return': it assigns them",
)
LOOSE_EXPRESSION = declare(
    "loose-expression", "An expression stands as a statement", title="the value of this expression goes nowhere",
    hint="write 'name = ...' or 'return ...'",
)
INDEX_WITHOUT_AXIS = declare(
    "index-without-axis", "An index does not say its axis", title="an index says its axis",
    hint="write 'x[t = 0]' for the element at 0 of axis t; there are no ranges: 'x[t = t + 1]' shifts",
)
SPLIT_IN_INDEX = declare(
    "split-in-index", "An axis is split inside an index", title="an axis is not split in an index",
    hint="split it where it is declared, 'x[n, (g=8 k)=c]', or with 'axis c = (g=8 k)'",
)
MISSING_COMMA = declare(
    "missing-comma", "Two entries of a list have no comma between them", title="a ',' is missing before {found}",
)
LAMBDA = declare(
    "lambda", "A function without a name", title="there are no functions without a name",
    hint="declare it: 'fn name(x) { return ... }'",
)
CONDITIONAL = declare(
    "conditional", "A choice is written as in Python", title="a choice of values is 'where(condition, a, b)'",
    hint="use 'where' for values, or 'if condition { ... } else { ... }' for a static choice",
)
COMPREHENSION = declare(
    "comprehension", "A list is built by a loop", title="a list is not built by a loop",
    hint="write 'repeat n as l { ... }' for a list of sub-layers",
)
COLON_BLOCK = declare(
    "colon-block", "A block begins with a colon", title="a block stands in braces", here="expected '{'",
    hint="write '{' here and '}' where the block ends",
)
FOREIGN_DECLARATION = declare(
    "foreign-declaration", "A declaration begins with a word of another language", title="'{word}' declares nothing here",
    hint="{way_out}",
)
FOREIGN_STATEMENT = declare(
    "foreign-statement", "A statement begins with a word of another language", title="no statement begins with '{word}'",
    hint="{way_out}", near=("word", "words"),
)
OUTSIDE = declare(
    "outside", "A statement stands outside of any fn or layer",
    title="a file has only declarations: fn, layer, search and import", here="not a declaration",
    hint="put it into a fn or a layer", near=("word", "words"),
)
RESULT_BRACKETS = declare(
    "result-brackets", "A result is not written as axes in brackets", title="a result is its axes in brackets",
    here="{found} is not in brackets",
    hint="write '-> [n, o]', '-> []' for one number, '-> like x', or '-> (y[n], last[n])' for several",
)
SIZED_KIND = declare(
    "sized-kind", "The axes of a tensor stand after its dtype", title="the axes of a tensor stand after its name",
    hint="write 'x[n, c]', or 'x[n, c]: int' where it is not a float",
)
TYPED_NAME = declare(
    "typed-name", "A name in a body is given a type", title="a name in a body takes the type of its value",
    hint="write 'name = value'",
)
SIZE_OF_VALUE = declare(
    "size-of-value", "Bars stand around an expression", title="'|d|' is the size of one axis",
    hint="write 'abs(x)' for the absolute value",
)
NO_VALUE = declare(
    "no-value", "A param, buffer or init has no value", title="{found} stands where the initial value is expected",
    hint="write '= 0', '= normal(0.02)', '= kaiming_uniform[i](sqrt(5))', or '= given' if the caller supplies it",
)
RESERVED = declare(
    "reserved", "A word of the language stands where a name is expected", title="'{word}' cannot be a name",
    hint="and, or, not, true, false and inf are never names",
)
IMPORT_PATH = declare(
    "import-path", "An import does not name its file by words with dots", title="an import names its file by words with dots",
    hint="write 'import std.norm', or 'import blocks' for blocks.arch in this folder",
)
EXPRESSION_BODY = declare(
    "expression-body", "A function's body is not in braces", title="a body stands in braces", hint="write '{ return ... }'",
)
LAYER_INPUT = declare(
    "layer-input", "An entry between the parentheses of a layer does not say what it is",
    title="'{name}' does not say what it is", here="expected '{name}: kind'",
    note="parameters of a layer have a kind (axis, int, float, bool, str, layer, ...); tensors are inputs of its forward",
    hint="write '{name}: axis' for an axis, or move it to forward(...)",
)
PARAMETER_KIND = declare(
    "fn-kind", "A parameter that is a function does not say what it takes",
    title="a parameter that is a function names its arguments", hint="write 'fn(x)'",
)
SPACE_OUTSIDE_HOLE = declare(
    "space-outside-hole", "A layer that is not a hole of a search has a space", title="only a hole of a search has a space",
    hint="put the layer into 'search name { hole layer ... }', or take the space away",
)
NUMBER_TOO_LARGE = declare(
    "number-too-large", "A number is beyond what a float can hold", title="{number} is beyond the largest float",
    hint="write 'inf' if infinity is meant",
)
UNKNOWN_ESCAPE = declare(
    "unknown-escape", "A string has a backslash before a character that needs none",
    title="'{escape}' means nothing in a string", hint="a backslash stands before a quote, another backslash, n or t",
)
