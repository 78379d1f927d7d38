"""Diagnostics of what is allowed and probably not meant: declarations only, like `codes`."""

from __future__ import annotations

from archc.diagnostics.declare import declare

# fmt: off
OUTER_PRODUCT = declare(
    "outer-product", "An operation joins axes that nothing else has together",
    title="this makes {size} elements along {axes}, which nothing else here has together",
    here="{left} meets {right}", severity="warning",
    hint="rename an axis if two should be one: x[{name} = ...]; or reduce in the same expression",
)
UNUSED_PARAM = declare(
    "unused-param", "A param is made and trained, and no method reads it", title="no method reads the param '{name}'",
    here="never read", hint="remove it, or declare it with init if only initialisers read it", severity="warning",
)
SHADOWED_NAME = declare(
    "shadowed-name", "A name hides another one, or a built-in", title="'{name}' hides {what}", here="declared here",
    hint="give it another name", severity="warning",
)
