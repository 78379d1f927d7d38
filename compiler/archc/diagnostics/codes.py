"""Every diagnostic, declared once (those of syntax in `syntax_codes`). The pages in `docs/errors` come from here."""

from __future__ import annotations

from archc.diagnostics import syntax_codes, warning_codes
from archc.diagnostics.declare import KINDS, declare

__all__ = ["KINDS", "declare", "syntax_codes", "warning_codes"]

# fmt: off
# ------------------------------------------------------------------------------------------------- files
FILE_MISSING = declare("file-missing", "A file is not there", title="there is no file '{path}'", near=("path", "others"))
FILE_UNREADABLE = declare("file-unreadable", "A file cannot be read", title="'{path}' cannot be read: {reason}")
FILE_FOLDER = declare(
    "file-folder", "A folder stands where a file is expected", title="'{path}' is a folder", hint="name a .arch file in it",
)
FILE_ENCODING = declare(
    "file-encoding", "A file is not text in UTF-8", title="'{path}' is not text in UTF-8: byte {byte} at {offset}",
    hint="save it as UTF-8",
)
FILE_EMPTY = declare(
    "file-empty", "A file declares nothing", title="'{path}' declares nothing", hint="declare a fn or a layer in it",
)
IMPORT_UNKNOWN = declare(
    "import-unknown", "An import names a file that is not there", title="there is no '{name}' to import",
    here="looked for {places}", near=("name", "others"),
)
IMPORT_CYCLE = declare(
    "import-cycle", "Files import each other in a circle", title="'{name}' imports itself", note="{path}",
    hint="move what both need to a third file",
)
IMPORT_OUTSIDE = declare(
    "import-outside", "An import leaves the folder of its file", title="'{name}' lies outside of the folder of this file",
    note="a file may import what lies below its own folder, and the standard library",
)
OUT_TAKEN = declare(
    "out-taken", "A package would replace something that archc did not write",
    title="'{path}' is there already, and archc did not write it", hint="choose another folder, or remove it first",
)
OUT_UNWRITABLE = declare(
    "out-unwritable", "A package cannot be written", title="'{path}' cannot be written: {reason}", note="nothing was changed",
)
UNKNOWN_TARGET = declare(
    "unknown-target", "A package is asked for in a form that archc does not write", title="there is no target '{name}'",
    hint="targets are {names}", near=("name", "names"),
)
ENVIRONMENT = declare(
    "environment", "A variable of the environment has a value that means nothing", title="{name} is '{value}'",
    hint="it may be {values}",
)
NO_LAYER = declare(
    "no-layer", "A file is compiled that has no layer", title="'{path}' has no layer to compile",
    hint="declare a layer; a fn is compiled where a layer uses it",
)

# ------------------------------------------------------------------------------------------------- names, axes, types
IMPORT_CLASH = declare(
    "import-clash", "An imported name is already taken", title="'{name}' of {module} is already declared",
    here="brings a second '{name}'", hint="rename one of them",
)
DECLARED_TWICE = declare(
    "declared-twice", "One name is declared twice", title="'{name}' is declared twice", here="declared again",
    hint="give one of them another name",
)
UNKNOWN_NAME = declare(
    "unknown-name", "A name that nothing declares", title="unknown name '{name}'", here="not known here",
    hint="{way_out}", near=("name", "names"),
)
AMBIGUOUS_NAME = declare(
    "ambiguous-name", "A name is an axis and a value at once", title="'{name}' is an axis and a value",
    here="which of the two is meant?", hint="give the value another name",
)
ASSIGNED_TWICE = declare(
    "assigned-twice", "A name is assigned twice in one block", title="'{name}' is assigned twice in this block",
    here="assigned again", hint="use a new name for the second value",
)
UNKNOWN_AXIS = declare(
    "unknown-axis", "A name is used as an axis that the value does not have", title="unknown axis '{name}'",
    here="not an axis of {value}", note="{value} has {axes}", near=("name", "axes"),
)
VALUE_AS_AXIS = declare(
    "value-as-axis", "A value stands where an axis is meant", title="'{name}' is a value, not an axis",
    here="an axis is expected here", hint="name one of the axes of the value in the brackets",
)
SIZE_NAMES_VALUE = declare(
    "size-names-value", "|x| is asked of a value", title="'{name}' is a value, and |{name}| is the size of an axis",
    here="not an axis", hint="write abs({name}) for the absolute value",
)
AXIS_AS_SIZE = declare(
    "axis-as-size", "An axis stands where a size is meant", title="'{name}' is an axis, not a size",
    here="a size is expected here", hint="write |{name}| for its size",
)
AXIS_INDEXED = declare(
    "axis-indexed", "An axis is indexed", title="'{name}' is an axis and cannot be indexed", here="only values have brackets",
    hint="an axis is its index already: write n + 1 for the next one, or the number that is meant",
)
AXIS_TWICE = declare(
    "axis-twice", "One axis stands twice in a list", title="axis '{name}' stands here twice", here="already listed",
    hint="name it once",
)
MISSING_AXIS = declare(
    "missing-axis", "An argument lacks an axis that the signature names",
    title="'{input}' needs an axis '{name}', which this argument does not have", here="'{input}' is {found}",
    hint="bind one of its axes in brackets: f[{name} = axis](...)",
)
EXTRA_AXES = declare(
    "extra-axes", "An argument has axes that the signature does not take",
    title="'{name}' takes no further axes, and this argument has {axes} besides", here="in this call",
    hint="write '...' into the signature if any axes may come with it",
)
RESULT_AXES = declare(
    "result-axes", "A value has axes that its declaration does not", title="the value has axes {axes} that are not declared",
    here="is {found}", note="declared are {expected}", hint="reduce them, for example by sum[...]",
)
RESULT_AXIS_TWICE = declare(
    "result-axis-twice", "Two axes of a result would have one name", title="the result would have the axis '{name}' twice",
    here="in this call", hint="bind one of them to another axis in brackets: f[name = axis](...)",
)
RESULT_SIZE = declare(
    "result-size", "A result's axis has another size than the axis of that name here",
    title="the result's axis '{name}' has size {left}, and '{name}' here has {right}", here="in this call",
    hint="bind it to another axis in brackets: f[{name} = axis](...)",
)
RESULT_DTYPE = declare(
    "result-dtype", "A value has another dtype than its declaration", title="the value is {found}, declared is {expected}",
    here="is {found}", hint="convert it with float(...), int(...) or count(...); of a complex number take real(...) or abs(...)",
)
RESULT_COUNT = declare(
    "result-count", "A body returns another number of values than its signature states",
    title="the number of results is {expected}, and that of returned values {found}", here="returned here",
)
RESULT_NOT_ASSIGNED = declare(
    "result-not-assigned", "A named result is never assigned", title="the result '{name}' is never assigned",
    here="declared here",
    hint="give it a value: {name} = ...",
)
RESULT_NOT_STATED = declare(
    "result-not-stated", "A method does not state the axes of its result", title="'{name}' must state its result",
    here="no '->' follows", hint="write -> [axes], or -> like x",
)
RETURN_AND_NAMED = declare(
    "return-and-named", "A fn with named results has a return", title="'{name}' names its results and returns as well",
    here="results are named", hint="assign the names, without return",
)
NO_RETURN = declare(
    "no-return", "A body returns nothing", title="'{name}' returns nothing", here="its body ends without return",
    hint="write 'return ...' as its last statement",
)
AFTER_RETURN = declare(
    "after-return", "A statement follows the return of its block", title="this is never reached", here="stands after return",
    severity="warning",
)
UNPACK = declare(
    "unpack", "The number of names and of values differs", title="the number of names is {expected}, and that of values {found}",
    here="does not come out", hint="write one name for each value",
)
SIZE_MISMATCH = declare(
    "size-mismatch", "An axis would have two sizes", title="axis '{name}' has size {left}, not {right}",
    here="in conflict here", hint="one name is one axis with one size: give one of them another name",
)
FRESH_AXIS = declare(
    "fresh-axis", "A result or a state has a new axis without a size", title="the new axis '{name}' has no size",
    here="not an axis of the inputs", note="axes here are {axes}", hint="state its size: {name} = ...", near=("name", "axes"),
)
NEGATIVE_SIZE = declare("negative-size", "A size is below zero", title="a size cannot be {size}", here="below zero",
                        hint="a size is 0 or more: max(0, ...) cuts it off")
NOT_A_SIZE = declare(
    "not-a-size", "Something stands where a whole number is needed", title="this is not a size",
    here="expected a whole number, an int parameter, or |axis|",
)
SECOND_SPLIT = declare(
    "second-split", "An axis is split in two ways", title="axis '{name}' is already split otherwise", here="a second split",
    hint="read it along a new axis: axis z = |{name}|, then x[{name} = z]",
)
SPLIT_LATER = declare(
    "split-later", "An axis is split after it was made", title="axis '{name}' has been made already, {state}",
    here="comes too late", hint="split it where it is declared, as in x[n, (g=8 k)={name}], or give the parts to a new axis",
)
OPEN_SPLIT = declare(
    "open-split", "More than one part of a split has no size", title="the sizes of {names} cannot be told apart",
    here="one dimension, more than one unknown size", hint="give all parts but one a size, as in (g=8 k)",
)
OPEN_PARAM = declare(
    "open-param", "A param has a size that is not known when a module is made", title="nothing says the size of {names} here",
    here="filled when a module is made, before any input is seen",
    hint="make the axis a parameter of the layer, `{first}: axis`, or state its size: {first} = ...",
)
SPLIT_SIZE = declare(
    "split-size", "The parts of a split do not make the whole",
    title="parts of {left} elements do not make a whole of {right}", here="split here",
    hint="leave one part without a size: it takes what is left",
)
SPLIT_NOT_EXACT = declare(
    "split-not-exact", "A split does not come out even", title="{whole} cannot be split into parts of {part}",
    here="split here", hint="choose sizes of which {whole} is a multiple",
)
NOT_A_VALUE = declare(
    "not-a-value", "Something without a value at run time is used as one", title="{what} is not a value",
    here="a value is expected here", hint="{way_out}",
)
WRONG_DTYPE = declare(
    "wrong-dtype", "An operand has a dtype that the operation does not take", title="'{name}' takes {expected}",
    here="is {found}", hint="convert it with float(...), int(...), or count(...) of a bool",
)
COMPLEX_OPERAND = declare(
    "complex-operand", "An operation that has no complex numbers is given some", title="'{name}' takes no complex numbers: {why}",
    here="is given {found}", hint="{way_out}",
)
WRONG_ARGUMENT_COUNT = declare(
    "argument-count", "A call has too many or too few arguments",
    title="the number of arguments of '{name}' is {expected}, not {found}", here="in this call",
)
UNKNOWN_ARGUMENT = declare(
    "unknown-argument", "A call names an argument that does not exist", title="'{callee}' has no argument '{name}'",
    here="not known", near=("name", "names"),
)
ARGUMENT_TWICE = declare(
    "argument-twice", "An argument is given twice", title="'{name}' of '{callee}' is given twice", here="given again",
    hint="give it once, by its place or by its name",
)
MISSING_ARGUMENT = declare(
    "missing-argument", "A call leaves out an argument without a default", title="the argument '{name}' is missing",
    here="{callee} needs it",
)
NAMED_ARGUMENT = declare(
    "named-argument", "An operation is called with names", title="the arguments of '{name}' have no names",
    here="in this call", hint="give them by their place: {name}(...)",
)
ARGUMENT_KIND = declare(
    "argument-kind", "An argument is of another kind than its parameter", title="'{name}' is {expected}, and this is {found}",
    here="expected {expected}", hint="{way_out}",
)
UNKNOWN_KIND = declare(
    "unknown-kind", "A parameter or tensor has a kind that does not exist", title="there is no kind '{name}'",
    here="not a kind", near=("name", "kinds"),
)
NOT_CALLABLE = declare(
    "not-callable", "Something that is not a function is called", title="{what} cannot be called", here="not a function",
    hint="a product is written with '*': a * (b)",
)
NO_MEMBERS = declare(
    "no-members", "A point follows something that has no parts", title="{what} has no part '{name}'", here="not known",
    note="only sub-layers have parts: their methods", hint="{way_out}",
)
UNKNOWN_MEMBER = declare(
    "unknown-member", "A sub-layer has no method of this name", title="'{layer}' has no method '{name}'", here="not known",
    near=("name", "names"),
)
NEEDS_AXES = declare(
    "needs-axes", "A reduction does not say over which axes", title="'{name}' needs its axes in brackets",
    here="over which axes?", hint="write {name}[axis](...), or {name}[...](...) for all leading ones",
)
NO_AXES = declare(
    "no-axes", "Axes stand behind an operation that has none", title="'{name}' works on each element and takes no axes",
    here="no brackets here", hint="write {name}(...)",
)
ONE_AXIS = declare(
    "one-axis", "An operation along one axis is given another number", title="'{name}' goes along exactly one axis",
    here="in this call", hint="name one axis in the brackets: {name}[k](...)",
)
MATRIX_AXES = declare(
    "matrix-axes", "An operation on matrices is not given rows and columns", title="'{name}' takes two axes: rows, then columns",
    here="in this call", hint="{name}[i, j](a{right}), or {name}[i, j = k](a{right}) to call the columns k in the result",
)
NOT_SQUARE = declare(
    "not-square", "A matrix is not square", title="'{name}' needs a square matrix, and this one is {left} by {right}",
    here="its rows and columns are stated here",
)
RIGHT_SIDE = declare(
    "right-side", "The right side of a solve has the columns' axis",
    title="the right side of '{name}' has the columns' axis '{columns}'",
    here="this is {found}", hint="the unknowns come out along '{columns}': name it otherwise here, b[{columns} = other]",
)
REDUCTION_ITEM = declare(
    "reduction-item", "An index stands among the axes of a reduction", title="'{name}' takes the names of axes",
    here="not a name of an axis", hint="index the argument instead: {name}[k](x[k = ...])",
)
HALF_AXIS = declare(
    "half-axis", "A transform of floats does not say along which axis its frequencies, or its result, lie",
    title="'{name}' over '{axis}' makes an axis of another size, which needs a name", here="of which size is the result?",
    hint="{way_out}",
)
FOURIER_SIZE = declare(
    "fourier-size", "An axis of frequencies has not the size of the transform",
    title="'{name}' needs {right} elements along '{axis}' for those along '{of}', and there are {left}", here="in this item",
)
FOURIER_SPLIT = declare(
    "fourier-split", "A transform goes over an axis that is split, or over several as one",
    title="'{name}' goes along axes that are whole, and '{axis}' is put together from others", here="not one axis",
    hint="give it as an axis of its own, or transform over its parts",
)
NOT_A_SUM = declare(
    "not-a-sum", "cat is used with an axis that is not a sum of axes", title="'{name}' is not a sum of axes",
    here="in this cat", hint="declare it with axis {name} = a + b",
)
BINDING_NOT_AXIS = declare(
    "binding-not-axis", "An axis of a callee is bound to something else than an axis",
    title="'{name}' of the callee can only stand for an axis", here="not the name of an axis",
    hint="write [{name} = axis]; to shift a value, index the argument: f(x[n = n + 1])",
)
INDEX_NOT_INT = declare(
    "index-not-int", "An index is not a whole number", title="the index of '{name}' must be a whole number", here="is {found}",
    hint="use // for division rounded down, or int(...)",
)
INDEX_OUTSIDE = declare(
    "index-outside", "An index always misses its axis",
    title="this index {runs}, and {name} has size {size}", here="outside of {name}", hint="{way_out}",
)
UNKNOWN_BORDER = declare(
    "unknown-border", "A border that does not exist", title="there is no border '{name}'", here="known are {borders}",
)
SECOND_FILL = declare(
    "second-fill", "A read fills with two scalars", title="a read has one scalar for what lies outside", here="another scalar",
    hint="write the same number, or read twice: x[h = ... else 0][w = ... else 1]",
)
FILL_NOT_SCALAR = declare(
    "not-scalar", "A tensor stands where a single number is needed", title="a single number is needed", here="is {found}",
    hint="reduce it to one, for example by mean[...], or choose between two reads with where(...)",
)
FILL_DTYPE = declare(
    "fill-dtype", "What a read gives outside has another dtype than the value", title="{found} cannot stand among {expected}",
    here="is {found}", hint="write a number of the same dtype, or convert the value with float(...)",
)
EXACT_DIVISION = declare(
    "exact-division", "An exact division in an index has no border", title="'/' in an index needs 'else'",
    here="has no whole result for some indices", hint="write else 0 behind it, or // to round down",
)
LEADING_INDEXED = declare(
    "leading-indexed", "The axes of ... are indexed", title="'...' cannot be indexed", here="nothing inside can name its axes",
    hint="name the axis in the signature, as in x[..., t]",
)
NOT_STATIC = declare(
    "not-static", "Something must be known when compiling and is not", title="{what} must be known when compiling",
    here="known only at run time", hint="declare the parameter static",
)
CONDITION_NOT_BOOL = declare(
    "condition-not-bool", "The condition of a static if is no truth value", title="a condition is true or false",
    here="neither true nor false", hint="compare it: ... == 1; for values use where(...)",
)
STATIC_OPERANDS = declare(
    "static-operands", "An operator between things that it does not join", title="'{op}' does not join {left} and {right}",
    here="no meaning", hint="texts can be compared: == and !=",
)
STATIC_ARITHMETIC = declare(
    "static-arithmetic", "A static computation has no result", title="this cannot be computed: {why}",
    here="computed when compiling",
    hint="guard it by a static if, or declare the parameter without 'static'",
)
NOT_A_LIST = declare(
    "not-a-list", "A for loop has no list", title="this cannot be looped over", here="{why}",
    hint="loop over sub-layers, a list, or range(n)",
)
UNKNOWN_MODE = declare(
    "unknown-mode", "when names a mode that does not exist", title="there is no mode '{name}'", here="not a mode",
    hint="write when training",
)
UPDATE_TARGET = declare(
    "update-target", "Something that is not a buffer is updated", title="'{name}' is not a buffer", here="cannot be updated",
    hint="declare it with buffer {name}[...] = ...",
)
PENALTY_NOT_SCALAR = declare(
    "penalty-not-scalar", "A penalty is not a single number", title="a penalty is a single number", here="is {found}",
    hint="reduce it, for example by mean[...]",
)
STORE_IN_BODY = declare(
    "store-in-body", "A param or buffer is declared in a method", title="params and buffers are declared in the layer's body",
    here="inside a method", hint="move it above forward",
)
VALUE_IN_LAYER = declare(
    "value-in-layer", "A tensor is computed in the body of a layer",
    title="'{name}' is a tensor, which a layer's body cannot hold", here="computed outside a method",
    hint="compute it in forward, or declare a buffer",
)
STATEMENT_IN_LAYER = declare(
    "statement-in-layer", "A statement of a method stands in a layer's body", title="this belongs into a method",
    here="a layer's body declares params, buffers, axes and sub-layers",
    hint="move it into forward",
)
INSTANCE_IN_METHOD = declare(
    "instance-in-method", "A sub-layer is made inside a method", title="sub-layers are made in the layer's body",
    here="made inside a method", hint="write name = {name}(...) in the body, and call name(x) here",
)
NO_FORWARD = declare(
    "no-forward", "A layer has no forward", title="'{name}' has no forward", here="what does it compute?",
    hint="add forward(x[...]) -> [...] { ... }",
)
ENDLESS_LAYER = declare(
    "endless-layer", "A layer contains itself without an end", title="'{name}' contains itself without an end",
    here="this layer", hint="let a static argument fall, under a static if",
)
INITIALISER_OUTSIDE = declare(
    "initialiser-outside", "An initialiser is called outside of a param", title="'{name}' fills a param or buffer",
    here="only to the right of 'param ... =' or 'buffer ... ='",
    hint="declare a param with it, and use that here",
)
TABLE_SHAPE = declare(
    "table-shape", "A table of constants has another shape than the param or buffer", title="this table has {what}",
    here="lists in lists, one level for each axis",
)
DRAW_AXES = declare(
    "draw-axes", "A draw in a method does not say along which axes", title="'{name}' names no axes to draw along",
    here="one number, or one for every element?", hint="name them in brackets: {name}[{axes}](...)",
)
NO_FAN = declare(
    "no-fan", "An initialiser needs more axes than the param has", title="'{name}' needs a param of two axes or more",
    here="cannot tell the fan-in", hint="name its axes in brackets: {name}[i](...)",
)
GRADIENT_COUNT = declare(
    "gradient-count", "grad has another number of names than the fn has results",
    title="the number of results is {expected}, and that of their derivatives {found}", here="one name for each result",
    hint="write grad(dy) for one result, grad(dy, dz) for two",
)
OUTSIDE_SCAN = declare(
    "outside-scan", "A statement of a scan stands outside of one", title="this belongs into a scan", here="not inside a scan",
    hint="put it into scan t { ... }",
)
UNKNOWN_LAYER = declare(
    "unknown-layer", "A layer is asked for that the file does not have", title="'{path}' has no layer '{name}'",
    near=("name", "names"),
)
UNKNOWN_STATIC = declare(
    "unknown-static", "A static choice is set that the layer does not have",
    title="'{layer}' has no static parameter '{name}'", near=("name", "names"),
)
STATIC_MISSING = declare(
    "static-missing", "A static parameter without a default is not set", title="'{layer}' needs a value for '{name}'",
    here="has no default", hint="set it: --set {name}=..., or {name}=... in archc.load",
)
OVERRIDE_TARGET = declare("override-target", "Params are supplied to something that has none",
                          title="'with' supplies the params of a sub-layer, and this is {what}",
                          here="has no params", hint="give what it needs as an argument: f(x, factor=3)")
SCAN_SPLIT = declare(
    "scan-split", "A split axis is scanned", title="'{name}' is split, and a loop runs along one axis", here="in this loop",
    hint="read the value along a new axis of that size, and scan it",
)
SCAN_WITHOUT_STATE = declare(
    "scan-without-state", "A loop carries nothing from step to step", title="this loop has no state", here="carries nothing",
    hint="without a state there is no order: write the expression without a loop",
)
RETURN_IN_SCAN = declare(
    "return-in-scan", "A body of a loop returns", title="a loop gives its values by yield and finally", here="returns inside",
)
STATE_HAS_AXIS = declare(
    "state-has-axis", "A state has the axis that is scanned", title="a state cannot have the scanned axis '{name}'",
    here="carried along '{name}'", hint="yield gives '{name}' back",
)
NOT_SUPPORTED = declare(
    "not-supported", "A construct that this version does not compile yet", title="{what} is not supported yet",
    here="used here", exit="limit",
)

# ------------------------------------------------------------------------------------------------- steps
NO_STEP = declare(
    "no-step", "A layer is asked for one step along an axis, and needs more than the elements before it",
    title="{what} cannot go along {axis} one element at a time: {why}", here="because of this", hint="{way_out}",
)

# ------------------------------------------------------------------------------------------------- limits
LIMIT = declare(
    "limit", "A file asks for more than a stated limit of the compiler", title="{sentence}", hint="{way_out}", exit="limit",
)

# ------------------------------------------------------------------------------------------------- derivatives
NO_DERIVATIVE = declare(
    "no-derivative", "A derivative is asked for that does not exist", title="{what} has no derivative", here="asked for here",
    note="{why}", hint="cut it off with detach(...), or give a derivative of your own with grad(...)",
)
