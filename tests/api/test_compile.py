"""archc.compile writes a package whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import archc
from archc import api, store


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_package_is_written_and_replaced(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "norm"
    files = archc.compile("std.norm", out, layers=["LayerNorm", "RMSNorm"])
    assert {path.name for path in files} == {"__init__.py", "modules.py", "manifest.json", "py.typed"}
    assert all(path.is_file() for path in files)
    (out / "__pycache__").mkdir()
    archc.compile("std.norm", out, layers=["LayerNorm"])
    assert "RMSNorm" not in (out / "modules.py").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["norm"]


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    archc.compile("std.kan", tmp_path / "out")
    assert (tmp_path / "out" / "__init__.py").is_file()


@pytest.mark.parametrize("kind", ["file", "folder", "foreign manifest", "link"])
def test_what_archc_did_not_write_stays(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    else:
        out.mkdir()
        (out / ("manifest.json" if kind == "foreign manifest" else "thesis.tex")).write_text("{}")
    before = tree(tmp_path)
    with pytest.raises(archc.UserError, match="is there already, and archc did not write it"):
        archc.compile("std.kan", out)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("moment", ["write", "sync", "rename"])
def test_a_full_disk_changes_nothing(tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    archc.compile("std.kan", out, static={"order": 2})
    before = tree(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if moment == "write":
        monkeypatch.setattr(store, "_write_file", full)
    elif moment == "sync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        real = Path.rename
        monkeypatch.setattr(Path, "rename", lambda self, to: full() if self.suffix == ".new" else real(self, to))
    with pytest.raises(archc.UserError, match="cannot be written: No space left on device"):
        archc.compile("std.kan", out)
    monkeypatch.undo()
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(archc.UserError, match="cannot be written: Permission denied"):
        archc.compile("std.kan", tmp_path / "out")
    tmp_path.chmod(0o700)


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(archc.UserError, match="cannot be written"):
        archc.compile("std.kan", tmp_path / "file" / "out")


def test_wrong_wishes_are_said(tmp_path: Path) -> None:
    with pytest.raises(archc.UserError, match="there is no target 'cuda'"):
        archc.compile("std.kan", tmp_path / "out", targets=["cuda"])
    with pytest.raises(archc.UserError, match="has no layer 'Kan'"):
        archc.compile("std.kan", tmp_path / "out", layers=["Kan"])
    with pytest.raises(archc.UserError, match="no static parameter 'ordr'"):
        archc.compile("std.kan", tmp_path / "out", static={"ordr": 3})
    (tmp_path / "only.arch").write_text("fn twice(x) { return 2 * x }")
    with pytest.raises(archc.UserError, match="has no layer to compile"):
        archc.compile(tmp_path / "only.arch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_defect_of_the_compiler_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from archc.codegen import package

    def broken(*_: object, **__: object) -> None:
        raise KeyError("groups")

    monkeypatch.setattr(package, "emit", broken)
    with pytest.raises(archc.CompilerBug, match="KeyError: 'groups'"):
        api.files_of("std.kan")


def test_a_layer_that_needs_a_choice_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "two.arch"
    source.write_text(
        "layer One(c: axis) { forward(x[c]) -> [c] { return x } }\n"
        "layer Many(c: axis, static power: int, inner: layer) {\n"
        "    a = inner(c=c)\n"
        "    forward(x[c]) -> [c] { return a(x) ^ power }\n"
        "}\n"
    )
    archc.compile(source, tmp_path / "out")
    assert "Many" not in (tmp_path / "out" / "modules.py").read_text()
    with pytest.raises(archc.UserError, match="'Many' needs a value for"):
        archc.compile(source, tmp_path / "out", layers=["Many"])
    archc.compile(source, tmp_path / "out", static={"power": 2, "inner": "One"}, layers=["Many"])
    assert "class Many(" in (tmp_path / "out" / "modules.py").read_text()
