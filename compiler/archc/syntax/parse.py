"""Text to tree. After an error the parser goes on at the next declaration, so that all of a file is told at once."""

from __future__ import annotations

from archc.diagnostics.model import Problems
from archc.diagnostics.render import concise
from archc.limits import LIMITS, beyond
from archc.syntax import tree
from archc.syntax.builder import Builder
from archc.syntax.lexer import Token, layout, lex, open_before
from archc.syntax.parser import DECLARATION_WORDS, Parser, SyntaxProblem
from archc.syntax.tables import grammar_text, load
from archc.syntax.tree import Span

__all__ = ["grammar_text", "parse", "parse_expression"]


def next_declaration(raw: list[Token], first: int, problem: SyntaxProblem) -> int | None:
    """The index of the next token that begins a line, not further in than the token `first`, with a word that begins a
    declaration. That is past the error, or in its own line where a bracket from a line above is still open."""
    column, after = raw[first].column, problem.token.start
    opened = open_before(problem.tokens[: problem.at])
    if any(token.line < problem.token.line for token in opened):
        after -= problem.token.column
    for i in range(first + 1, len(raw)):
        token = raw[i]
        if token.start > after and token.text in DECLARATION_WORDS and token.column <= column and raw[i - 1].kind == "_NL":
            return i
    return None


def parse(text: str, path: str, problems: Problems) -> tree.File | None:
    """The tree of a file, or None where an error leaves nothing that can be checked: what is wrong goes to `problems`."""
    problems.texts[path] = text
    if len(text) > LIMITS["characters"].value:
        beyond(problems, "characters", Span(path, 1, 1, 1, 1, 0, 0))
        return None
    tables = load()
    lexed = lex(text, path, tables)
    parser = Parser(tables, Builder(path, lexed, problems))
    raw, first, broken = lexed.tokens, 0, 0
    declarations: tuple[tree.Declaration, ...] = ()
    while True:
        tokens = layout(raw, first)
        try:
            declarations += parser.run(tokens, "file")
            break
        except SyntaxProblem as problem:
            broken += 1
            from archc.syntax.mistakes import explain

            explain(problem, text, path, problems)
            following = next_declaration(raw, first, problem)
            if following is not None and broken >= LIMITS["errors"].value:
                beyond(problems, "errors", parser.builder.span(raw[following]))
                break
            if following is None:
                break
            first = following
    if broken:
        return None
    end = lexed.tokens[-1]
    whole = Span(path, 1, 1, end.line, end.column, 0, end.start)
    return tree.File(path, declarations, tuple(lexed.comments), whole)


def parse_expression(text: str, path: str = "<expression>") -> tree.Expr:
    """The tree of one expression. Raises ValueError with the reason."""
    tables, problems = load(), Problems()
    lexed = lex(text, path, tables)
    parser = Parser(tables, Builder(path, lexed, problems))
    try:
        value: tree.Expr = parser.run(layout(lexed.tokens, 0), "expression")
    except SyntaxProblem as problem:
        from archc.syntax.mistakes import explain

        explain(problem, text, path, problems)
    if problems.found:
        raise ValueError(f"{text!r} is not an expression: {concise(problems.found[0])}")
    return value
