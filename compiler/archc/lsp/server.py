"""The language server: the protocol (LSP 3.17) on one side, plain functions on the other.

Diagnostics are sent when nothing was typed for a moment, for the version that they are about. Every other answer is about the
text as it is when the question is read.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.diagnostics.model import CompilerBug
from archc.lsp.analysis import Analyser, Analysis
from archc.lsp.completion import complete
from archc.lsp.hover import hover
from archc.lsp.modules import modules_of
from archc.lsp.names import resolve
from archc.lsp.places import Lines
from archc.lsp.problems import Finding, findings
from archc.version import __version__

if TYPE_CHECKING:
    from lsprotocol import types as lsp
    from pygls.lsp.server import LanguageServer

PAUSE = 0.02
"""Seconds without a change after which diagnostics are made."""
IDLE = 2.0
"""Seconds without a change after which memory is tidied."""
LITTER = 500_000
"""Objects, of some 70 versions of a large file, after which it is tidied in any case: an answer that waits for it is late."""


class Document:
    """A text as the editor has it, analysed at most once a version."""

    def __init__(self, uri: str, path: Path, text: str, version: int, encoding: str) -> None:
        self.uri, self.path, self.encoding = uri, path, encoding
        self.change(text, version)
        self.task: asyncio.Task[None] | None = None

    def change(self, text: str, version: int) -> None:
        self.text, self.version, self.lines = text, version, Lines(text, self.encoding)
        self.analysis: Analysis | None = None


class Documents:
    """The open documents by their URI. `say` tells whoever edits one of a bug of archc."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.open: dict[str, Document] = {}
        self.analyser = Analyser()

    def analysis(self, document: Document) -> Analysis:
        if document.analysis is None:
            try:
                document.analysis = self.analyser(document.text, document.path)
            except CompilerBug as bug:  # the editor goes on: nothing is known of this version of the text
                document.analysis = Analysis(str(document.path), document.text, [], None)
                self.say(f"This is a bug of archc, not of your file; please report it with the text: {bug}")
        return document.analysis


def build() -> LanguageServer:
    """The server with all its answers. Raises ImportError where the extra `lsp` is not installed."""
    from lsprotocol import types as lsp
    from pygls.lsp.server import LanguageServer
    from pygls.uris import from_fs_path, to_fs_path

    server = LanguageServer("archc", f"v{__version__}", text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental)

    def say(text: str) -> None:
        server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, text))

    documents = Documents(say)

    def encoding() -> str:
        return str(getattr(chosen := server.workspace.position_encoding, "value", chosen) or "utf-16")

    def place_of(uri: str) -> Path:
        return Path(to_fs_path(uri) or uri.rsplit("/", 1)[-1] or "untitled.arch")

    def found(uri: str, position: lsp.Position) -> tuple[Document, int] | None:
        document = documents.open.get(uri)
        return (document, document.lines.offset(position.line, position.character)) if document else None

    def range_of(lines: Lines, start: int, end: int) -> lsp.Range:
        return lsp.Range(lsp.Position(*lines.position(start)), lsp.Position(*lines.position(end)))

    def publish(document: Document) -> None:
        analysis = documents.analysis(document)
        items = [diagnostic(finding, document) for finding in findings(analysis)]
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(document.uri, items, document.version))

    def diagnostic(finding: Finding, document: Document) -> lsp.Diagnostic:
        related = [
            lsp.DiagnosticRelatedInformation(
                lsp.Location(document.uri if path is None else from_fs_path(str(path)) or "",
                             range_of(document.lines if path is None else Lines(text, encoding()), start, end)), message)
            for path, text, start, end, message in finding.related
        ]  # fmt: skip
        severity = lsp.DiagnosticSeverity.Error if finding.severity == "error" else lsp.DiagnosticSeverity.Warning
        return lsp.Diagnostic(range_of(document.lines, finding.start, finding.end), finding.message, severity, finding.code,
                              source="archc", related_information=related)  # fmt: skip

    async def later(document: Document) -> None:
        await asyncio.sleep(PAUSE)
        publish(document)
        await asyncio.sleep(IDLE)
        gc.collect()

    def schedule(document: Document) -> None:
        if document.task is not None:
            document.task.cancel()
        document.task = asyncio.get_running_loop().create_task(later(document))

    @server.feature(lsp.INITIALIZED)
    def initialized(_: lsp.InitializedParams) -> None:
        gc.collect()
        gc.freeze()  # what is loaded stays: looking through it again and again would double the time of an answer
        gc.set_threshold(LITTER)

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        documents.open[item.uri] = Document(item.uri, place_of(item.uri), item.text, item.version, encoding())
        publish(documents.open[item.uri])

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        document = documents.open.get(params.text_document.uri)
        if document is not None:
            text = server.workspace.get_text_document(document.uri).source
            document.change(text, params.text_document.version)
            schedule(document)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(_: lsp.DidSaveTextDocumentParams) -> None:
        for document in documents.open.values():  # one may import what was saved
            document.analysis = None
            schedule(document)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        document = documents.open.pop(params.text_document.uri, None)
        if document is not None:
            if document.task is not None:
                document.task.cancel()
            server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(document.uri, []))

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        at = found(params.text_document.uri, params.position)
        answer = hover(documents.analysis(at[0]), at[1]) if at else None
        if at is None or answer is None:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, answer.text)
        return lsp.Hover(content, range_of(at[0].lines, answer.span.start, answer.span.end))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def defined(params: lsp.DefinitionParams) -> lsp.Location | None:
        at = found(params.text_document.uri, params.position)
        answer = resolve(documents.analysis(at[0]), at[1]) if at else None
        if at is None or answer is None or (target := answer[1]) is None:
            return None
        document, analysis = at[0], documents.analysis(at[0])
        start, end = (0, 0) if target.module else (target.span.start, target.span.end)
        if target.span.file == analysis.path:
            return lsp.Location(document.uri, range_of(document.lines, start, end))
        assert analysis.program is not None
        uri = from_fs_path(str(analysis.place(target.span.file).resolve())) or ""
        return lsp.Location(uri, range_of(Lines(analysis.program.files[target.span.file].text, encoding()), start, end))

    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["[", "|", "(", ".", ","]))
    def completed(params: lsp.CompletionParams) -> lsp.CompletionList:
        at = found(params.text_document.uri, params.position)
        if at is None:
            return lsp.CompletionList(False, [])
        document, offset = at
        items = complete(documents.analysis(document), document.text, offset, modules_of(document.path))
        kinds = {
            "axis": lsp.CompletionItemKind.EnumMember, "value": lsp.CompletionItemKind.Variable,
            "argument": lsp.CompletionItemKind.Property, "function": lsp.CompletionItemKind.Function,
            "layer": lsp.CompletionItemKind.Class, "keyword": lsp.CompletionItemKind.Keyword,
            "module": lsp.CompletionItemKind.Module, "method": lsp.CompletionItemKind.Method,
        }  # fmt: skip
        answer = [
            lsp.CompletionItem(item.label, kind=kinds[item.sort], detail=item.detail or None, insert_text=item.insert or None,
                               documentation=item.doc or None, sort_text=f"{n:04}")
            for n, item in enumerate(items)
        ]  # fmt: skip
        return lsp.CompletionList(False, answer)

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        from archc.diagnostics.model import Problems
        from archc.syntax.format import format_text

        document = documents.open.get(params.text_document.uri)
        if document is None:
            return None
        analysis = documents.analysis(document)
        known = analysis.tree if all(problem.kind.severity != "error" for problem in analysis.problems) else None
        text = format_text(document.text, analysis.path, Problems(), known)
        if text is None:
            return None
        return [] if text == document.text else [lsp.TextEdit(range_of(document.lines, 0, len(document.text)), text)]

    _: Any = (initialized, opened, changed, saved, closed, hovered, defined, completed, formatted)
    return server
