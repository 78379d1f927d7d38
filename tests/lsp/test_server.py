"""The language server as an editor sees it: a process, spoken to over standard input and output."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lsp.client import ROOT, Client

TEXT = """import std.linear

# What a query sees of the keys.
fn seen(q[..., t, d], k[..., s, d]) -> [..., t, s] {
    score = sum[d](q * k) / sqrt(|d|)
    return where(s <= t, score, -inf)
}

layer Block(c: axis, heads: int = 4) {
    param gain[c, w=3] = 1
    qkv = Linear(i=c, o=c)
    forward(x[..., t, (head=heads d)=c]) -> like x {
        y = qkv(x)
        return y * gain[w = 0]
    }
}
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(tmp_path) as started:
        yield started


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["contents"]["value"])


def test_it_says_what_it_can(client: Client) -> None:
    assert client.server["serverInfo"]["name"] == "archc"
    can = client.server["capabilities"]
    for name in ("hoverProvider", "definitionProvider", "completionProvider", "documentFormattingProvider"):
        assert can[name]
    assert "[" in can["completionProvider"]["triggerCharacters"]


def test_diagnostics_come_with_their_version_and_go(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", TEXT.replace("sum[d]", "sum[dd]"))
    [found] = client.diagnostics(uri, 1)
    assert found["code"] == "unknown-axis" and found["severity"] == 1 and found["source"] == "archc"
    assert found["range"] == {"start": {"line": 4, "character": 16}, "end": {"line": 4, "character": 18}}
    assert "dd" in found["message"]
    version = client.edit(uri, 4, 16, "d", removed=2)
    assert client.diagnostics(uri, version) == []
    client.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert client.diagnostics(uri, None) == []


def test_typing_fast_is_answered_once(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", TEXT)
    assert client.diagnostics(uri, 1) == []
    for letter in "abc":
        version = client.edit(uri, 5, 4, letter)
    [found, *_] = client.diagnostics(uri, version)
    assert found["range"]["start"]["line"] == 5
    assert version == 4 and client.told.empty()


def test_a_label_elsewhere_is_related(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", TEXT.replace("qkv(x)", "qkv(x, x)"))
    [found] = client.diagnostics(uri)
    [related] = found["relatedInformation"]
    assert related["location"]["uri"].endswith("stdlib/linear.arch")


def test_an_error_of_an_imported_file_stands_at_the_import(client: Client, tmp_path: Path) -> None:
    (tmp_path / "other.arch").write_text("fn f(x) { return }\n")
    uri = client.open(tmp_path / "a.arch", "import other\n\nfn g(x) { return f(x) }\n")
    found = client.diagnostics(uri)
    assert found[0]["range"]["start"] == {"line": 0, "character": 0} and "other.arch:1:11" in found[0]["message"]
    (tmp_path / "other.arch").write_text("fn f(x) { return x }\n")
    client.tell("textDocument/didSave", {"textDocument": {"uri": uri}})
    assert client.diagnostics(uri) == []


def test_hover_has_the_type_of_any_expression(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", TEXT)
    for needle, shift, expected in [
        ("q * k", 2, "q * k: float[..., t, d, s]"),
        ("score =", 0, "score: float[..., t, s]"),
        ("s <= t", 2, "s <= t: bool[t, s]"),
        ("gain[w = 0]", 0, "gain: float[(head d)=c, w]"),
        ("gain[w = 0]", 0, "|w| = 3"),
        ("y = qkv", 0, "y: float[..., t, head, d]"),
        ("|d|", 1, "axis d"),
        ("t, d], k", 0, "axis t"),
        ("seen(q", 0, "What a query sees of the keys."),
        ("Linear(i", 0, "layer Linear(i: axis, o: axis"),
        ("where(", 0, "where(x, y, z)"),
        ("sum[d]", 0, "sum[k](x)"),
        ("heads: int", 0, "heads: int = 4"),
        ("std.linear", 4, "std.linear"),
    ]:
        answer = client.ask("textDocument/hover", client.at(uri, TEXT, needle, shift))
        assert answer and expected in text_of(answer), (needle, answer)
    assert client.ask("textDocument/hover", client.at(uri, TEXT, "\n\n", 1)) is None


def test_what_is_right_of_a_broken_file_is_answered(client: Client, tmp_path: Path) -> None:
    broken = TEXT.replace("y = qkv(x)", "y = qkv(x")
    uri = client.open(tmp_path / "a.arch", broken)
    assert client.diagnostics(uri)
    assert "float[..., t, s]" in text_of(client.ask("textDocument/hover", client.at(uri, broken, "score =")))


def test_definitions(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", TEXT)
    for needle, shift, file, line, column in [
        ("score, -inf", 0, "a.arch", 4, 4),
        ("qkv(x)", 0, "a.arch", 10, 4),
        ("gain[w = 0]", 0, "a.arch", 9, 10),
        ("w = 0", 0, "a.arch", 9, 18),
        ("x)\n", 0, "a.arch", 11, 12),
        ("o=c)", 2, "a.arch", 8, 12),
        ("heads d", 0, "a.arch", 8, 21),
        ("s <= t", 0, "a.arch", 3, 29),
        ("std.linear", 5, "linear.arch", 0, 0),
    ]:
        found = client.ask("textDocument/definition", client.at(uri, TEXT, needle, shift))
        place = {"line": line, "character": column}
        assert found["uri"].endswith("/" + file) and found["range"]["start"] == place, (needle, found)
    library = (ROOT / "stdlib" / "linear.arch").read_text().splitlines()
    found = client.ask("textDocument/definition", client.at(uri, TEXT, "Linear(i"))
    assert library[found["range"]["start"]["line"]].startswith("layer Linear(")
    found = client.ask("textDocument/definition", client.at(uri, TEXT, "i=c"))
    assert found["uri"].endswith("linear.arch") and found["range"]["start"]["character"] == len("layer Linear(")
    assert client.ask("textDocument/definition", client.at(uri, TEXT, "where(")) is None


def test_completion(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", TEXT)
    version = 1
    for typed, expected, never in [
        ("z = sum[", ["c", "w", "t", "head", "d"], ["silu", "s"]),
        ("z = |", ["c", "t", "d"], ["silu"]),
        ("z = Linear(i=c, ", ["o", "biased", "x"], ["i"]),
        ("z = seen(", ["q", "k"], []),
        ("z = seen[", ["t", "s", "d"], []),
        ("retu", ["return"], ["qkv"]),
        ("z = ", ["qkv", "gain", "seen", "Linear", "silu", "where", "not"], ["return"]),
        ("# z = ", [], ["silu"]),
    ]:
        text = TEXT.replace("        return y", f"        {typed}\n        return y")
        version = client.change(uri, text)
        answer = client.ask("textDocument/completion", client.at(uri, text, typed, len(typed)))
        labels = [item["label"] for item in answer["items"]]
        assert set(expected) <= set(labels) and not set(never) & set(labels), (typed, labels)
    assert version > 1
    text = TEXT + "\nimport std."
    client.change(uri, text)
    labels = [i["label"] for i in client.ask("textDocument/completion", client.at(uri, text, "\nimport std.", 12))["items"]]
    assert "std.norm" in labels


def test_format(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "a.arch", "fn f(x){return -x+1}")
    ask = {"textDocument": {"uri": uri}, "options": {"tabSize": 4, "insertSpaces": True}}
    [edit] = client.ask("textDocument/formatting", ask)
    assert edit["newText"] == "fn f(x) { return -x + 1 }\n" and edit["range"]["end"] == {"line": 0, "character": 20}
    client.change(uri, edit["newText"])
    assert client.ask("textDocument/formatting", ask) == []
    client.change(uri, "fn f(x) { return }")
    assert client.ask("textDocument/formatting", ask) is None


@pytest.mark.parametrize("encoding, more", [("", 2), ("utf-16", 2), ("utf-8", 6), ("utf-32", 0)])
def test_columns_are_counted_as_agreed(encoding: str, more: int, tmp_path: Path) -> None:
    text = 'fn f(x, static mode: "𝛼𝛽" | "b" = "b") { return yy + xx }\n'
    with Client(tmp_path, encoding=encoding) as client:
        uri = client.open(tmp_path / "a.arch", text)
        [found] = client.diagnostics(uri)
        column = text.index("yy") + more
        assert found["range"]["start"]["character"] == column
        version = client.edit(uri, 0, column, "xx", removed=2)
        [found] = client.diagnostics(uri, version)
        assert found["range"]["start"]["character"] == column and "xx" in found["message"]


def test_without_pygls_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pygls'] = None; from archc.cli.main import main; sys.exit(main(['lsp']))"
    environment = {"PYTHONPATH": str(ROOT / "compiler")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "pip install 'archc[lsp]'" in done.stderr and "Traceback" not in done.stderr
