"""Names in emitted Python: unique in their scope, never a keyword, a builtin that is used, or what nn.Module owns."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

MODULE_ATTRIBUTES = frozenset({
    "T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "compile", "cpu", "cuda",
    "double", "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer", "get_extra_state", "get_parameter",
    "get_submodule", "half", "ipu", "load_state_dict", "modules", "mtia", "named_buffers", "named_children", "named_modules",
    "named_parameters", "parameters", "penalties", "register_backward_hook", "register_buffer", "register_forward_hook",
    "register_forward_pre_hook", "register_full_backward_hook", "register_full_backward_pre_hook",
    "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook", "register_module", "register_parameter",
    "register_state_dict_post_hook", "register_state_dict_pre_hook", "requires_grad_", "reset_parameters", "set_extra_state",
    "set_submodule", "share_memory", "source_names", "state_dict", "to", "to_empty", "train", "training", "type", "xpu",
    "zero_grad",
})
"""What an nn.Module, or a class that we emit, already has under this name (a test compares with torch)."""

_USED = frozenset({"self", "torch", "nn", "F", "math", "Tensor", "float", "int", "complex", "max", "min", "abs", "round",
                   "device", "dtype", "super", "range", "ValueError", "TypeError", "IndexError", "ctx", "True", "False", "None",
                   "annotations", "generator"})


def python_name(text: str) -> str:
    """A valid identifier of Python that resembles the text; two texts never become one name by an underscore at the end."""
    text = re.sub(r"\W", "_", text)
    if not text or text[0].isdigit():
        text = "_" + text
    plain = text.rstrip("_")
    return text + "_" if plain and (keyword.iskeyword(plain) or keyword.issoftkeyword(plain)) else text


def snake_case(text: str) -> str:
    """TinyNorm as tiny_norm."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()


def attribute(text: str) -> str:
    """The attribute of an nn.Module that holds what the source calls `text`."""
    found = python_name(text)
    return found + "_" if found == text and (text.rstrip("_") in MODULE_ATTRIBUTES or text.startswith("__")) else found


def argument(text: str) -> str:
    """An argument of an emitted function."""
    text = python_name(text)
    return text + "_" if text in _USED else text


def path(dotted: str) -> str:
    """`blocks.0.norm` as an expression on self: `self.blocks[0].norm`."""
    parts = ["self"]
    for part in dotted.split("."):
        parts.append(f"[{part}]" if part.isdigit() else f".{attribute(part)}")
    return "".join(parts)


class Names:
    """Gives out names that are free in one function, or in one of its branches; `shared` ones are free in all."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.visible = set(_USED) | set(taken)
        self.ever = set(self.visible)
        self.common: set[str] = set()

    def fresh(self, wish: str) -> str:
        """The wished name, or it with the first number that makes it free."""
        found = _free(wish, self.visible | self.common)
        self.visible.add(found)
        self.ever.add(found)
        return found

    def shared(self, wish: str) -> str:
        """A name that no branch has used or will use."""
        found = _free(wish, self.ever)
        self.ever.add(found)
        self.common.add(found)
        return found

    def branch(self) -> Names:
        """The same scope once more, for code that does not run together with what was named before."""
        other = Names(self.visible)
        other.ever, other.common = self.ever, self.common
        return other


def _free(wish: str, taken: set[str]) -> str:
    wish = python_name(wish)
    found, number = wish, 1
    while found in taken:
        number += 1
        found = f"{wish}{'_' * wish[-1:].isdigit()}{number}"
    return found
