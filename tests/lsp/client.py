"""A language client over the standard input and output of a real server process: JSON-RPC by hand."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Client:
    """`ask` waits for the answer to a request; what the server says of itself waits in `told`."""

    def __init__(self, folder: Path, timeout: float = 30.0, encoding: str = "") -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "compiler")}
        command = [sys.executable, "-m", "archc", "lsp", "--stdio"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        cwd=folder, env=environment)  # fmt: skip
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.timeout = timeout
        self.number = 0
        self.versions: dict[str, int] = {}
        threading.Thread(target=self.read, daemon=True).start()
        can = {"general": {"positionEncodings": [encoding, "utf-16"]}} if encoding else {}
        self.server = self.ask("initialize", {"processId": os.getpid(), "rootUri": folder.as_uri(), "capabilities": can})
        self.tell("initialized", {})

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.ask("shutdown", None)
            self.tell("exit", None)
            self.process.wait(self.timeout)
        self.process.kill()

    def read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            length = 0
            while (line := stream.readline().strip()) or not length:
                if not line:
                    return
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message = json.loads(stream.read(length))
            (self.told if "method" in message else self.answers).put(message)

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.process.stdin.flush()

    def tell(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        answer = self.answers.get(timeout=self.timeout)
        assert answer["id"] == self.number and "error" not in answer, answer
        return answer["result"]

    # -- documents -----------------------------------------------------------------------------------------------
    def open(self, path: Path, text: str) -> str:
        uri = path.as_uri()
        self.versions[uri] = 1
        self.tell("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "arch", "version": 1, "text": text}})
        return uri

    def change(self, uri: str, text: str) -> int:
        """Another text as a whole; gives its version."""
        self.versions[uri] += 1
        self.tell("textDocument/didChange", {"textDocument": {"uri": uri, "version": self.versions[uri]},
                                             "contentChanges": [{"text": text}]})  # fmt: skip
        return self.versions[uri]

    def edit(self, uri: str, line: int, column: int, text: str, removed: int = 0) -> int:
        """An edit on one line; gives the version after it."""
        self.versions[uri] += 1
        range_ = {"start": {"line": line, "character": column}, "end": {"line": line, "character": column + removed}}
        self.tell("textDocument/didChange", {"textDocument": {"uri": uri, "version": self.versions[uri]},
                                             "contentChanges": [{"range": range_, "text": text}]})  # fmt: skip
        return self.versions[uri]

    def diagnostics(self, uri: str, version: int | None = 1) -> list[dict[str, Any]]:
        """Those of a version of a document, once they come."""
        while True:
            message = self.told.get(timeout=self.timeout)
            params = message.get("params", {})
            about = (message["method"], params.get("uri"), params.get("version"))
            if about == ("textDocument/publishDiagnostics", uri, version):
                return list(params["diagnostics"])

    def at(self, uri: str, text: str, needle: str, shift: int = 0) -> dict[str, Any]:
        """The place of the first `needle` in a text, as the params of a request."""
        before = text[: text.index(needle) + shift]
        line = before.count("\n")
        column = len(before) - (before.rfind("\n") + 1)
        return {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}
