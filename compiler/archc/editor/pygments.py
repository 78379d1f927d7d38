"""A Pygments lexer for `.arch`: found by its name and by the ending of a file, in Sphinx, MkDocs, LaTeX and the terminal."""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text, Whitespace

from archc.editor.words import CONSTANT, CONTROL, DECLARATION, FOLLOWED, KINDS, OPERATOR, STORE

NAME = r"[A-Za-z_][A-Za-z0-9_]*"


class ArchLexer(RegexLexer):  # type: ignore[misc]
    """Layers for archc."""

    name = "Arch"
    url = "https://pypi.org/project/archc"
    aliases = ["arch", "archc"]  # noqa: RUF012
    filenames = ["*.arch"]  # noqa: RUF012
    mimetypes = ["text/x-arch"]  # noqa: RUF012
    tokens = {  # noqa: RUF012
        "root": [
            (r"[ \t\r\n\f]+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'"(?:[^"\\\n]|\\.)*"', String.Double),
            (r"\|[ \t]*[A-Za-z_]\w*[ \t]*\|", Name.Variable),
            (r"(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", Number),
            (rf"(fn)(\s+)({NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Function)),
            (rf"(layer|search)(\s+)({NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Class)),
            (r"(import)(\s+)([\w.]+)", bygroups(Keyword.Namespace, Whitespace, Name.Namespace)),
            (rf"(:)(\s*)({'|'.join(KINDS)})\b", bygroups(Punctuation, Whitespace, Keyword.Type)),
            *((rf"{word}\b(?={after})", Keyword) for word, after in FOLLOWED.items()),
            (words(DECLARATION, r"\b", r"\b(?!\s*[=,])"), Keyword.Declaration),
            (words(STORE, r"\b", r"\b(?!\s*[=,])"), Keyword.Declaration),
            (words(CONTROL, r"\b", r"\b(?!\s*[=,])"), Keyword),
            (words(OPERATOR, r"\b", r"\b"), Operator.Word),
            (words(CONSTANT, r"\b", r"\b"), Keyword.Constant),
            (rf"{NAME}(?=[\[(])", Name.Function),
            (NAME, Name),
            (r"->|\.\.\.|==|!=|<=|>=|//|[-+*/%^=<>]", Operator),
            (r"[()\[\]{},:.|]", Punctuation),
            (r".", Text),
        ]
    }
