"""What stands around a cursor, by tokens alone: a text that is being typed rarely parses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from archc.syntax.lexer import CLOSERS, OPENERS, Token, lex
from archc.syntax.parser import DECLARATION_WORDS
from archc.syntax.tables import load

Where = Literal["nowhere", "import", "size", "member", "kind", "brackets", "arguments", "signature", "file", "layer", "body"]
STORES = ("param", "buffer", "init", "state")


@dataclass
class Around:
    """`prefix` is the part of a word before the cursor. `callee` stands before the innermost open bracket, or before the dot."""

    where: Where
    prefix: str
    callee: str = ""
    given: set[str] = field(default_factory=set)  # the arguments that the call has already
    after_equal: bool = False  # on the right of an `=` of this entry or statement
    axes: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)  # sub-layer -> layer


def around(text: str, offset: int) -> Around:
    found = re.search(r"[A-Za-z_][A-Za-z0-9_]*\Z", text[:offset])
    prefix = found[0] if found else ""
    before = offset - len(prefix)
    row = text[text.rfind("\n", 0, before) + 1 : before]
    if "#" in re.sub(r'"(?:[^"\\]|\\.)*"', "", row) or row.count('"') % 2:
        return Around("nowhere", prefix)
    if module := re.fullmatch(r"\s*import\s+([\w.]*)", row):
        return Around("import", module[1] + prefix)
    here = Around("body", prefix)
    tokens = [token for token in lex(text, "", load()).tokens if token.kind != "$END"]
    first, last = declaration(tokens, before)
    own = tokens[first:last]
    left = [token for token in own if token.start < before]
    names(visible(own, before), here)
    here.where = place(left, row, here)
    return here


def declaration(tokens: Sequence[Token], offset: int) -> tuple[int, int]:
    """The tokens of the declaration around an offset: from the word that begins its line to the next such word."""
    starts = [n for n, token in enumerate(tokens) if token.column == 1 and token.text in DECLARATION_WORDS]
    first = max((n for n in starts if tokens[n].start < offset), default=0)
    return first, min((n for n in starts if n > first), default=len(tokens))


def place(left: Sequence[Token], row: str, here: Around) -> Where:
    """Where the cursor stands, by the tokens of its declaration that are before it."""
    before = left[-1] if left else None
    if before is not None and before.text == "|" and row.count("|") % 2:
        return "size"
    if before is not None and before.text == "." and len(left) > 1:
        here.callee = left[-2].text
        return "member"
    stack: list[int] = []
    for n, token in enumerate(left):
        if token.kind in OPENERS:
            stack.append(n)
        elif token.kind in CLOSERS and stack:
            stack.pop()
    opener = stack[-1] if stack else None
    entry = list(entry_before(left, -1 if opener is None else opener))
    here.after_equal = any(token.kind == "EQUAL" for token in entry)
    if before is not None and before.text == ":":
        return "kind"
    if opener is None:
        return "file" if not left or before is None or before.kind in ("_NL", "RBRACE") else "signature"
    if left[opener].kind == "LBRACE":
        inner = sum(left[n].kind == "LBRACE" for n in stack)
        return "layer" if inner == 1 and left[0].text == "layer" else "body"
    here.callee = callee(left, opener)
    here.given = {a.text for a, b in zip(left[opener:], left[opener + 1 :], strict=False) if b.kind == "EQUAL"}
    if left[opener].kind == "LSQB":
        return "brackets"
    in_header = not any(left[n].kind == "LBRACE" for n in stack)
    head = left[opener - 1].text if opener else ""
    fn_before = opener > 1 and left[opener - 2].text in ("fn", "layer")
    return "signature" if head == "forward" or (in_header and fn_before) or fn_before else "arguments"


def entry_before(left: Sequence[Token], opener: int) -> Iterator[Token]:
    """The tokens of the entry or statement that the cursor stands in, last first."""
    depth = 0
    for token in reversed(left[opener + 1 :]):
        depth += (token.kind in CLOSERS) - (token.kind in OPENERS)
        if depth == 0 and token.kind in ("COMMA", "_NL"):
            return
        if depth == 0:
            yield token


def callee(left: Sequence[Token], opener: int) -> str:
    """The name before a bracket, over brackets between: of `f[e = d](`, f."""
    n = opener - 1
    while n >= 0 and left[n].kind in ("RSQB", "RPAR"):
        depth = 0
        while n >= 0:
            depth += (left[n].kind in CLOSERS) - (left[n].kind in OPENERS)
            n -= 1
            if depth == 0:
                break
    return left[n].text if n >= 0 and left[n].kind == "NAME" else ""


def visible(own: Sequence[Token], offset: int) -> list[Token]:
    """The tokens of a declaration without those of a layer's methods around which the cursor is not."""
    kept: list[Token] = []
    method: list[Token] | None = None
    depth = 0
    for n, token in enumerate(own):
        after = own[n + 1] if n + 1 < len(own) else None
        begins = token.text == "forward" and after is not None and after.kind == "LPAR"
        if own[0].text == "layer" and depth == 1 and method is None and (begins or token.text == "fn"):
            method = []
        depth += (token.kind == "LBRACE") - (token.kind == "RBRACE")
        (kept if method is None else method).append(token)
        if method is not None and token.kind == "RBRACE" and depth == 1:
            if method[0].start <= offset <= token.end:
                kept += method
            method = None
    return kept + (method or [])


def names(tokens: Sequence[Token], here: Around) -> None:
    """The axes and values that these tokens give names to."""
    axes: dict[str, None] = {}
    values: dict[str, None] = {}
    for n, token in enumerate(tokens):
        if token.kind != "NAME":
            continue
        two = [t.text for t in tokens[n + 1 : n + 3]]
        before = tokens[n - 1].text if n else ""
        if two[:1] == [":"] and len(two) > 1:
            (axes if two[1] == "axis" else values)[token.text] = None
        elif before == "axis" and two[:1] == ["="]:
            axes[token.text] = None
            if two[1:] == ["("]:
                axes.update(dict.fromkeys(listed(tokens, n + 2)))
        elif two[:1] == ["="] and (n == 0 or tokens[n - 1].kind in ("_NL", "LBRACE", "RBRACE") or before in ("yield", *STORES)):
            values[token.text] = None
            if len(tokens) > n + 3 and tokens[n + 3].kind == "LPAR":
                here.made[token.text] = tokens[n + 2].text
        elif before == "for":
            values[token.text] = None
        elif two[:1] == ["["] and (before in STORES or in_signature(tokens, n)):
            values[token.text] = None
            axes.update(dict.fromkeys(listed(tokens, n + 1)))
        elif in_signature(tokens, n) and (before in ("(", ",")):
            values[token.text] = None
    for n, token in enumerate(tokens):
        if token.kind == "ARROW" and n + 1 < len(tokens) and tokens[n + 1].kind == "LSQB":
            axes.update(dict.fromkeys(listed(tokens, n + 1)))
    here.axes = [name for name in axes if name != here.prefix or here.prefix == ""] or list(axes)
    here.values = [name for name in values if name != here.prefix]


def in_signature(tokens: Sequence[Token], n: int) -> bool:
    """Whether a token stands directly inside the parentheses of `forward(...)`, `fn f(...)` or a list of results."""
    depth = 0
    for m in range(n - 1, -1, -1):
        kind = tokens[m].kind
        if kind in CLOSERS:
            depth += 1
        elif kind in OPENERS:
            if depth == 0:
                named = m > 1 and tokens[m - 2].text == "fn"
                return kind == "LPAR" and (named or (m > 0 and tokens[m - 1].text in ("forward", "->")))
            depth -= 1
    return False


def listed(tokens: Sequence[Token], opener: int) -> Iterator[str]:
    """The axes that a list in brackets names, those of splits included."""
    depth = 0
    for n in range(opener, len(tokens)):
        kind, before = tokens[n].kind, tokens[n - 1]
        depth += (kind in OPENERS) - (kind in CLOSERS)
        if depth == 0:
            return
        whole = before.kind == "EQUAL" and tokens[n - 2].kind == "RPAR"
        beside = whole or before.kind in ("LSQB", "COMMA", "LPAR", "NAME", "NUMBER")
        if kind == "NAME" and beside and (depth == 1 or before.kind != "COMMA"):
            yield tokens[n].text
