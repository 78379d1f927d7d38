"""The parser: runs the saved LALR tables over tokens, and decides which words are keywords where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from keyword import iskeyword
from typing import Any

from archc.limits import LIMITS
from archc.syntax.builder import Builder
from archc.syntax.lexer import Token
from archc.syntax.tables import Tables
from archc.syntax.tree import Span

# ------------------------------------------------------------------------------------------------------- words
NEVER_NAMES = frozenset({"and", "or", "not", "true", "false", "inf"})
DECLARATION_WORDS = frozenset({"fn", "layer", "search", "import"})
AFTER_INDEX = frozenset({"else", "edge", "reflect", "wrap", "by"})


def is_keyword(word: str, tokens: list[Token], i: int) -> bool:
    """Whether a word that the parser could take either as a keyword or as a name is the keyword; what follows it tells."""
    after = tokens[i + 1]
    kind = after.kind
    if word in ("given", "none"):
        return kind in ("_NL", "RBRACE", "COMMA", "$END")
    if word == "space":
        return kind == "LBRACE"
    if word == "static":
        return kind == "NAME"
    if word == "fn":
        return kind in ("NAME", "LPAR")
    if word == "repeat":
        if kind == "LPAR":
            kind = tokens[min(closing(tokens, i + 1) + 1, len(tokens) - 1)].kind
            return kind in ("LBRACE", "NAME")
        return kind in ("NUMBER", "SIZE") or (kind == "NAME" and after.text not in AFTER_INDEX)
    return kind not in ("EQUAL", "COMMA")


def closing(tokens: list[Token], i: int) -> int:
    """The index of the token that closes the parenthesis at `i`, or of the last token."""
    depth = 0
    for j in range(i, len(tokens)):
        depth += (tokens[j].kind == "LPAR") - (tokens[j].kind == "RPAR")
        if depth == 0:
            return j
    return len(tokens) - 1


def opens_split(tokens: list[Token], i: int) -> bool:
    """Whether the parenthesis at `i`, to the right of `axis c =`, opens a split: two parts beside each other, or a sized one."""
    before = None
    for token in tokens[i : closing(tokens, i)]:
        if token.kind == "EQUAL" or (before == "NAME" and token.kind == "NAME"):
            return True
        if token.kind not in ("NAME", "LPAR", "RPAR"):
            return False
        before = token.kind
    return False


# ------------------------------------------------------------------------------------------------------ parser
class SyntaxProblem(Exception):
    """The parser cannot go on: where, in which state, with the stack that tells what it would have taken."""

    def __init__(self, tokens: list[Token], at: int, stack: list[int]) -> None:
        super().__init__(at)
        self.tokens = tokens
        self.at = at
        self.stack = stack

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    @property
    def before(self) -> Token | None:
        return self.tokens[self.at - 1] if self.at else None


class Parser:
    """The tables with a builder's methods in place of the names of actions."""

    def __init__(self, tables: Tables, builder: Builder) -> None:
        self.tables = tables
        self.builder = builder
        self.actions: list[Callable[[list[Any], Span], Any] | None] = []
        for rule in tables.rules:
            name = rule.action + "_" if iskeyword(rule.action) else rule.action
            self.actions.append(None if rule.action in ("", "=") else getattr(builder, name))

    def run(self, tokens: list[Token], start: str) -> Any:
        """The value of `start`. Raises SyntaxProblem. Adds a problem where the tree grows too deep, and goes on with None."""
        states, rules, words, actions = self.tables.states, self.tables.rules, self.tables.words, self.actions
        path, end_state, deepest = self.builder.path, self.tables.ends[start], LIMITS["nesting"].value
        stack = [self.tables.starts[start]]
        values: list[Any] = []
        firsts: list[int] = []  # the index of the first token of each symbol on the stack
        depths: list[int] = []
        for i, token in enumerate(tokens):
            kind = token[0]
            row = states[stack[-1]]
            if kind == "NAME":
                word = words.get(token[1])
                if word is not None:
                    if token[1] in NEVER_NAMES or "NAME" not in row:
                        kind = word if word in row or token[1] in NEVER_NAMES else kind
                    elif word in row and is_keyword(token[1], tokens, i) and takes(self.tables, stack, word):
                        kind = word
            elif kind == "LPAR" and "_SPLIT" in row and opens_split(tokens, i):
                kind = "_SPLIT"
            while True:
                move = row.get(kind)
                if move is None:
                    raise SyntaxProblem(tokens, i, stack)
                if move >= 0:
                    stack.append(move)
                    values.append(token)
                    firsts.append(i)
                    depths.append(0)
                    break
                rule = rules[~move]
                size, action = rule.size, rule.action
                if size == 0:
                    first, depth, kids = i, 0, []
                elif action == "=" and size == 1:
                    del stack[-1]
                    stack.append(states[stack[-1]][rule.origin])
                    row = states[stack[-1]]
                    continue
                else:
                    first, depth, kids = firsts[-size], max(depths[-size:]), values[-size:]
                    del stack[-size:], values[-size:], firsts[-size:], depths[-size:]
                if action == "=":
                    value = kids[rule.picks[0][0]] if rule.picks else kids[0]
                else:
                    if rule.picks is not None:
                        kept: list[Any] = []
                        for index, spread, gap in rule.picks:
                            if gap:
                                kept += [None] * gap
                            if spread and kept:
                                kept += kids[index]
                            elif spread:  # a list grows in place: nothing else holds it
                                kept = kids[index]
                            else:
                                kept.append(kids[index])
                        if rule.trailing:
                            kept += [None] * rule.trailing
                        kids = kept
                    make = actions[~move]
                    if make is None:
                        value = kids
                    else:
                        depth += 1
                        if depth > deepest:
                            raise SyntaxProblem([*tokens[:i], token._replace(kind="nesting")], i, stack)
                        a, z = tokens[first], tokens[i - 1 if i > first else i]
                        z_end = len(z[1])
                        span = Span(path, a[3], a[4], z[3], z[4] + z_end, a[2], z[2] + z_end)
                        value = make(kids, span)
                stack.append(states[stack[-1]][rule.origin])
                values.append(value)
                firsts.append(first)
                depths.append(depth)
                if stack[-1] == end_state and kind == "$END":
                    return value
                row = states[stack[-1]]
        raise SyntaxProblem(tokens, len(tokens) - 1, stack)


def takes(tables: Tables, stack: Sequence[int], kind: str) -> bool:
    """Whether the parser, after the reductions that `kind` calls for, would take it."""
    states, stack = tables.states, list(stack)
    while True:
        move = states[stack[-1]].get(kind)
        if move is None or move >= 0:
            return move is not None
        rule = tables.rules[~move]
        if rule.size:
            del stack[-rule.size :]
        stack.append(states[stack[-1]][rule.origin])
        if kind == "$END" and stack[-1] in tables.ends.values():
            return True


def expected(tables: Tables, stack: Sequence[int]) -> frozenset[str]:
    """The terminals that the parser could take next."""
    return frozenset(kind for kind in tables.states[stack[-1]] if is_terminal(kind) and takes(tables, stack, kind))


def is_terminal(symbol: str) -> bool:
    return symbol.isupper() or symbol == "$END"
