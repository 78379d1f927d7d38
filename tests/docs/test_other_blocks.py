"""The blocks of the documentation that are not `.arch`: Python runs, messages are what is said, commands are commands.

Pages with a test of their own are left to it: docs/compiled.md, explain.md, graph.md, passes.md, versus.md, errors.
"""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from archc import api
from archc.cli import main as cli

ROOT = Path(__file__).parents[2]
OWN_TEST = {"compiled.md", "explain.md", "graph.md", "passes.md", "versus.md"}
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md")))
         if page.name not in OWN_TEST]  # fmt: skip
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FREE: dict[str, Any] = {"x": torch.ones(2, 3, 4)}
"""Names that a page leaves to its reader."""
ids = {"ids": [str(page.relative_to(ROOT)) for page in PAGES]}


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text("utf-8"))


def test_every_kind_of_block_is_looked_at() -> None:
    kinds = {head.split()[0] if head else "" for page in PAGES for head, _ in blocks(page)}
    assert kinds <= {"arch", "python", "text", "", "sh", "json", "js", "toml", "lua"}


@pytest.mark.parametrize("page", PAGES, **ids)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the page's order, beside the files that its `.arch` blocks are; a method alone is what the package has."""
    layers = {name: text for head, text in blocks(page) if head == "arch" for name in re.findall(r"^layer (\w+)", text, re.M)}
    texts = [text for head, text in blocks(page) if head.split()[:1] == ["python"]]
    for file, layer in re.findall(r'archc\.load\("([^"]+\.arch)"[^)]*\)\.(\w+)', "\n".join(texts)):
        if layer in layers:
            (tmp_path / file).write_text(layers[layer])
    monkeypatch.chdir(tmp_path)
    names = dict(FREE)
    for text in texts:
        if text.startswith("    def "):
            programs = [(api.open_text(source, "page.arch"), layer) for layer, source in layers.items()]
            assert any(text in api.emitted(program, [layer], {})["modules.py"] for program, layer in programs)
        elif "safe_open" not in text:  # that of training.md is run after a training, in tests/project/test_readme.py
            exec(compile(text, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, **ids)
def test_a_message_is_what_is_said_of_the_block_before_it(page: Path) -> None:
    found = blocks(page)
    for (head, text), (after, message) in pairwise(found):
        if head.startswith("arch error") and after == "text":
            name = re.search(r"--> (\S+?):", message)
            assert name, message
            assert "\n".join(f"{problem}\n" for problem in api.check(text, name[1])) == message


@pytest.mark.parametrize("page", PAGES, **ids)
def test_commands_are_commands(page: Path) -> None:
    """Every line that calls archc is one that its parser takes, with files that it names left aside."""
    for head, text in blocks(page):
        for line in text.replace("\\\n", " ").split("\n") if head in ("", "sh", "text") else []:
            line = line.removeprefix("$ ").partition("#")[0].strip()
            if line.startswith("archc ") and "NAME" not in line and "..." not in line:
                _, command, *arguments = shlex.split(line)
                assert command in cli.COMMANDS, line
                cli._parser_of(command, import_module(f"archc.cli.{command}")).parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, **ids)
def test_json_and_toml_are_that(page: Path) -> None:
    for head, text in blocks(page):
        if head == "json":
            json.loads(text)
        elif head == "toml":
            pytest.importorskip("tomllib").loads(text)
