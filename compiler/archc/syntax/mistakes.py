"""Why a text does not parse, in the reader's terms.

Asked in this order, only when a text does not parse: signs and words of other languages (`**`, `def`), brackets that do not
match, wrong snippets that leave the parser in the same situation, and at last "expected X, found Y".
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

from archc.diagnostics import syntax_codes as codes
from archc.diagnostics.model import Kind, Problems
from archc.diagnostics.render import one_of
from archc.limits import LIMITS, beyond
from archc.syntax.builder import Builder
from archc.syntax.habits import DECLARATIONS, EXAMPLES, SIGNS, STATEMENTS
from archc.syntax.lexer import CLOSERS, Token, layout, lex, open_before
from archc.syntax.parser import DECLARATION_WORDS, NEVER_NAMES, Parser, SyntaxProblem, expected
from archc.syntax.tables import load
from archc.syntax.tree import Span

POSTFIX = frozenset({"LPAR", "LSQB", "DOT", "WITH"})


@functools.lru_cache(maxsize=1)
def first_errors() -> list[tuple[SyntaxProblem, Kind]]:
    """Where each wrong snippet stops the parser."""
    found: list[tuple[SyntaxProblem, Kind]] = []
    for kind, snippets in EXAMPLES:
        for snippet in snippets:
            lexed = lex(snippet, "", load())
            try:
                Parser(load(), Builder("", lexed, Problems())).run(layout(lexed.tokens, 0), "file")
            except SyntaxProblem as problem:
                found.append((problem, kind))
            else:
                raise AssertionError(f"{snippet!r} parses, so it explains no mistake")
    return found


@functools.lru_cache(maxsize=4096)
def situation(stack: tuple[int, ...]) -> frozenset[str]:
    """What the parser could take next, less what only goes on with an operand: one snippet then stands for all operands."""
    could = expected(load(), stack)
    goes_on = {kind for kind in could if is_operator(kind)} if "PLUS" in could else set()
    return could - POSTFIX - goes_on | ({"PLUS"} if goes_on else set())


def is_operator(kind: str) -> bool:
    return kind in OPERATORS or kind in COMPARISONS


def sort(token: Token) -> str:
    """Tokens that are the same mistake: any comparison, any sign of arithmetic, anything that begins an operand."""
    if token.kind in COMPARISONS:
        return "COMPARISON"
    if token.kind in OPERATORS:
        return "OPERATOR"
    return "NAME" if token.kind in OPERANDS - {"LPAR", "LSQB"} else token.kind


def by_example(problem: SyntaxProblem) -> Kind | None:
    """The kind of the first wrong snippet that stops in the same situation before the same sort of token."""
    here, token = situation(tuple(problem.stack)), sort(problem.token)
    for example, kind in first_errors():
        if sort(example.token) == token and situation(tuple(example.stack)) == here:
            return kind
    return None


# ----------------------------------------------------------------------------------------------------------- explaining
def explain(problem: SyntaxProblem, text: str, path: str, problems: Problems) -> None:
    """Add the one diagnostic that says why the parser stopped."""
    token, before = problem.token, problem.before
    place = Place(text, path)
    if token.kind in LIMITS:
        beyond(problems, token.kind, place.of(token.start, token.end))
        return
    for sign, kind, more in SIGNS:
        start = text.rfind(sign, max(0, token.start - len(sign) + 1), token.start + len(sign))
        if start >= 0 and len(token.text) <= len(sign) and (token.kind == "UNKNOWN" or token.text != sign):
            problems.add(kind, place.of(start, start + len(sign)), **more)
            return
    at = place.of(token.start, token.end)
    if token.kind == "UNKNOWN":
        character(token, text, place, problems)
        return
    rest = problem.tokens[problem.at :]
    quote = next((t for t in rest if t.line != token.line or (t.kind == "UNKNOWN" and t.text == '"')), token)
    if quote.kind == "UNKNOWN" and quote.line == token.line:
        problems.add(codes.UNCLOSED_STRING, place.of(quote.start, quote.end))
        return
    opened = unclosed(problem)
    if opened is not None:
        where = [(at, f"{describe(token)} stands where it is still open")] if token.kind != "$END" else []
        problems.add(
            codes.UNCLOSED, place.of(opened.start, opened.end), also=where, opened=opened.text, closer=CLOSING[opened.kind]
        )
        return
    could = expected(load(), tuple(problem.stack))
    facts: dict[str, Any] = {"found": describe(token), "word": token.text, "way_out": ""}
    if token.kind in CLOSERS and token.kind not in could and not is_open(problem, CLOSERS[token.kind]):
        problems.add(codes.STRAY_BRACKET, at, **facts)
        return
    if "FN" in could and "RETURN" not in could and token.text in DECLARATIONS:
        problems.add(codes.FOREIGN_DECLARATION, at, **facts | {"way_out": DECLARATIONS[token.text]})
        return
    if before and "NAME" not in could:
        if before.text == "lambda":
            problems.add(codes.LAMBDA, place.of(before.start, before.end))
            return
        if len(problem.tokens) > problem.at > 1 and problem.tokens[problem.at - 2].text == "//" and before.kind == "NAME":
            slashes = problem.tokens[problem.at - 2]
            problems.add(codes.COMMENT_SIGN, place.of(slashes.start, slashes.end))
            return
        if token.text in ("if", "for"):
            problems.add(codes.CONDITIONAL if token.text == "if" else codes.COMPREHENSION, at)
            return
    if before and before.text == "return" and token.kind in ("_NL", "RBRACE"):
        problems.add(codes.RETURN_NOTHING, place.of(before.start, before.end))
        return
    if token.text in NEVER_NAMES and "NAME" in could and "NUMBER" not in could:
        problems.add(codes.RESERVED, at, **facts)
        return
    example = by_example(problem)
    if example is codes.FOREIGN_STATEMENT and before:
        hint = STATEMENTS.get(before.text, "")
        words = () if hint else STATEMENT_WORDS
        problems.add(example, place.of(before.start, before.end), word=before.text, way_out=hint, words=words)
    elif example is codes.OUTSIDE:
        problems.add(example, at, **facts | {"words": ["fn", "layer", "search", "import"]})
    elif example is codes.LOOSE_EXPRESSION:
        problems.add(example, place.of(*statement_at(problem)), **facts)
    elif example is not None:
        problems.add(example, at, **facts)
    else:
        problems.add(codes.SYNTAX, at, **facts | {"expected": one_of(phrases(could)) or "nothing more"})


def statement_at(problem: SyntaxProblem) -> tuple[int, int]:
    """Where the statement at which the parser stopped begins, and ends or its line does."""
    tokens, first, last = problem.tokens, problem.at, problem.at
    while first and tokens[first - 1].kind not in ("_NL", "LBRACE") and tokens[first - 1].line == problem.token.line:
        first -= 1
    while last + 1 < len(tokens) and tokens[last + 1].kind not in ("_NL", "RBRACE", "$END"):
        if tokens[last + 1].line != problem.token.line:
            break
        last += 1
    last -= tokens[last].kind in ("_NL", "RBRACE", "$END") and last > first
    return tokens[first].start, tokens[last].end


class Place:
    """Offsets to spans of one text."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path

    def of(self, start: int, end: int) -> Span:
        """The span from one offset to another on the same line."""
        line = self.text.count("\n", 0, start) + 1
        column = start - self.text.rfind("\n", 0, start)
        return Span(self.path, line, column, line, column + end - start, start, end)


CLOSING = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
LOOKALIKES = dict.fromkeys("×·∗⋅", "*") | dict.fromkeys("−–—", "-") | dict.fromkeys("“”„`", '"')
LOOKALIKES |= {"÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "→": "->", "…": "...", "²": "^ 2", "³": "^ 3", "∞": "inf"}
LOOKALIKES |= {"√": "sqrt(x)", "∑": "sum[k](x)", "∏": "prod[k](x)", "，": ",", "（": "(", "）": ")", "：": ":"}
INVISIBLE = {"\u00a0": "a plain space", "\ufeff": "nothing", "\u200b": "nothing", "\u3000": "a plain space"}


def character(token: Token, text: str, place: Place, problems: Problems) -> None:
    """What no sign, word or number begins with."""
    first = token.text[0]
    if first.isascii() and (first.isdigit() or first == "."):
        number = token.text[: len(token.text) - len(token.text.lstrip(".0123456789"))]
        rest = token.text[len(number) :]
        hint = "digits stand together: 1000000, or 1e6" if rest[0] == "_" else f"write '{number} * {rest}' for a product"
        problems.add(codes.NUMBER_NAME, place.of(token.start, token.end), word=token.text, way_out=hint)
    elif first.isalpha():
        start, end = token.start, token.end
        while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
            start -= 1
        while end < len(text) and (text[end].isalnum() or text[end] == "_"):
            end += 1
        plain = "".join(spelled(letter) for letter in text[start : min(end, start + 80)])
        hint = f"write '{plain}'" if plain.isascii() and plain.isidentifier() else ""
        problems.add(codes.LETTERS, place.of(start, end), character=f"'{first}'", way_out=hint)
    else:
        name = unicodedata.name(first, "")
        shown = f"'{first}'" if first.isascii() and first.isprintable() else f"U+{ord(first):04X} {name}".strip()
        hint = f"write {INVISIBLE.get(first) or repr(LOOKALIKES.get(first, ''))}"
        hint = hint if first in LOOKALIKES or first in INVISIBLE else ""
        problems.add(codes.CHARACTER, place.of(token.start, token.end), character=shown, way_out=hint)


def spelled(letter: str) -> str:
    """A Greek letter by its name, an accented one without its accent."""
    name = unicodedata.name(letter, "")
    if name.startswith("GREEK"):
        return name.split()[3].lower() if len(name.split()) > 3 else letter
    return "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))


def describe(token: Token) -> str:
    """A token as a sentence names it."""
    if token.kind in ("_NL", "$END"):
        return PHRASES[token.kind]
    return f"'{token.text if len(token.text) <= 40 else token.text[:39] + '…'}'"


# -------------------------------------------------------------------------------------------------------------- brackets
def is_open(problem: SyntaxProblem, opener: str) -> bool:
    return any(token.kind == opener for token in open_before(problem.tokens[: problem.at]))


def unclosed(problem: SyntaxProblem) -> Token | None:
    """The bracket that is never closed, if that is why the parser stopped.

    A parenthesis or bracket is, if the parser stopped at a brace or where a line begins, and what follows does not close
    it. A brace is at the end of the file; among those open there, indentation tells which.
    """
    stack = open_before(problem.tokens[: problem.at])
    if not stack:
        return None
    token, last = problem.token, stack[-1]
    if token.kind == "$END":
        return misindented(problem.tokens) or last
    wants = CLOSERS.get(token.kind, last.kind)
    if wants != last.kind and (last.kind != "LBRACE" or any(token.kind == wants for token in stack)):
        return last
    if begins_declaration(problem, stack[0]):
        return misindented(problem.tokens[: problem.at]) or last
    if last.kind == "LBRACE" or CLOSERS.get(token.kind) == last.kind:
        return None
    begins_line = problem.before is not None and problem.before.line < token.line
    if not (begins_line or token.kind in ("RBRACE", "LBRACE")):
        return None
    following = open_before(problem.tokens)
    return last if last in following else None


def begins_declaration(problem: SyntaxProblem, outermost: Token) -> bool:
    """Whether the line on which the parser stopped begins as a declaration does, as far out as the one that is still open."""
    tokens = problem.tokens
    line = [token for token in tokens[max(0, problem.at - 8) : problem.at + 1] if token.line == problem.token.line]
    column = next(token.column for token in tokens if token.line == outermost.line)
    return outermost.line < line[0].line and line[0].text in DECLARATION_WORDS and line[0].column <= column


def misindented(tokens: list[Token]) -> Token | None:
    """The first brace whose closing one begins a line further out than its own line does."""
    stack: list[Token] = []
    starts: dict[int, int] = {}
    for token in tokens:
        starts.setdefault(token.line, token.column)
        if token.kind == "LBRACE":
            stack.append(token)
        elif token.kind == "RBRACE" and stack:
            opened = stack.pop()
            if starts[token.line] == token.column and token.line > opened.line and token.column < starts[opened.line]:
                return opened
    return None


# ------------------------------------------------------------------------------------------------------- what could stand
PHRASES = {
    "_NL": "the end of the line", "$END": "the end of the file", "NAME": "a name", "NUMBER": "a number", "STRING": "a string",
    "SIZE": "a size such as '|d|'",
}  # fmt: skip
OPERANDS = frozenset({"NAME", "NUMBER", "STRING", "SIZE", "TRUE", "FALSE", "INF", "LPAR", "LSQB", "REPEAT"})
GROUPS: tuple[tuple[str, frozenset[str]], ...] = (
    ("a statement", frozenset({"NAME", "RETURN", "IF", "FOR", "SCAN", "AXIS", "WHEN", "STATE", "YIELD", "FINALLY"})),
    ("a declaration", frozenset({"FN", "LAYER", "SEARCH", "IMPORT"})),
    ("an expression", OPERANDS | {"MINUS"}),
    ("an expression", OPERANDS),
)
OPERATORS = frozenset({"PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT", "CIRCUMFLEX", "AND", "OR"})
COMPARISONS = frozenset({"EQ", "NE", "LESSTHAN", "LE", "MORETHAN", "GE"})
# fmt: off
STATEMENT_WORDS = (
    "return", "if", "for", "scan", "axis", "when", "state", "yield", "finally", "update", "penalty", "param", "buffer", "init",
    "fn", "forward",
)
# fmt: on


def phrases(could: frozenset[str]) -> list[str]:
    """What could stand there, in words: whole groups by their name, else at most six words and signs."""
    tables = load()
    texts = {kind: text for text, kind in (tables.words | tables.signs).items()}
    out, rest = [], set(could)
    for phrase, group in GROUPS:
        if group <= rest:
            out.append(phrase)
            rest -= group | {"NOT", "UPDATE", "PENALTY", "PARAM", "BUFFER", "INIT"}
            break
    operators = {kind for kind in rest if is_operator(kind)}
    if len(operators) > 3:
        out.append("an operator")
        rest -= operators | POSTFIX
    named = [PHRASES[kind] for kind in PHRASES if kind in rest]
    signs = sorted(f"'{texts[kind]}'" for kind in rest if kind in texts)
    if "_SPLIT" in rest and "'('" not in signs and "an expression" not in out:
        signs.append("'('")
    listed = out + signs + named
    return listed if len(listed) <= 6 else [*listed[:6], "another"]
