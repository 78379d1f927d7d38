"""Small programs for the promises of the language: a layer from the text of its body."""

from __future__ import annotations

from typing import Any

from torch import nn

from archc import api


def layer(body: str, signature: str = "x[n, c]", result: str = "[n]", before: str = "", **arguments: Any) -> nn.Module:
    """A module whose forward has these inputs, this result and this body; `before` stands in front of the layer."""
    text = f"{before}\nlayer Promised() {{\n    forward({signature}) -> {result} {{\n        {body}\n    }}\n}}\n"
    module: nn.Module = api.load_text(text, "promised.arch").Promised(**arguments)
    return module


def codes(text: str) -> list[str]:
    return [found.code for found in api.check(text)]
