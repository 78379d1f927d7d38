"""Files that cannot be read, imports that leave their folder, and packages that cannot be written: one sentence each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archc import api
from archc.diagnostics.model import UserError
from archc.limits import LIMITS

LAYER = "layer A(c: axis) {\n    forward(x[n, c]) -> like x { return x }\n}\n"


def only(source: Path) -> tuple[str, str]:
    """The code and the message of the one problem of a file."""
    (found,) = api.check_file(source)
    assert "\n" not in found.message
    return found.code, found.message


def test_a_missing_file_and_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "norm.arch").write_text(LAYER)
    missing = tmp_path / "nrom.arch"
    assert only(missing) == ("file-missing", f"there is no file '{missing}'")
    assert "norm.arch" in str(api.check_file(missing)[0])


def test_a_folder(tmp_path: Path) -> None:
    assert only(tmp_path) == ("file-folder", f"'{tmp_path}' is a folder")


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.arch"
    path.write_text(text, encoding="utf-8")
    assert only(path) == ("file-empty", f"'{path}' declares nothing")


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.arch"
    path.write_bytes(b"# caf\xe9\n")
    assert only(path) == ("file-encoding", f"'{path}' is not text in UTF-8: byte 0xe9 at 5")


def test_a_file_without_permission_or_with_an_impossible_name(tmp_path: Path) -> None:
    assert only(Path("a\0b.arch"))[0] == "file-unreadable"
    assert only(Path("a" * 5000))[0] == "file-unreadable"
    loop = tmp_path / "loop.arch"
    loop.symlink_to(loop)
    assert only(loop)[0] in ("file-unreadable", "file-missing")
    if os.getuid():
        path = tmp_path / "a.arch"
        path.write_text(LAYER)
        path.chmod(0)
        assert only(path)[0] == "file-unreadable"


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.arch"
    path.write_text("#" * (LIMITS["characters"].value + 1))
    assert only(path)[0] == "limit"
    path.write_bytes(b"\xff" * (4 * LIMITS["characters"].value + 1))
    assert only(path)[0] == "limit"


def test_an_import_that_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.arch").write_text(LAYER)
    home = tmp_path / "home"
    home.mkdir()
    (home / "link.arch").symlink_to(tmp_path / "secret.arch")
    (home / "a.arch").write_text("import link\n")
    assert only(home / "a.arch")[0] == "import-outside"


@pytest.mark.parametrize(("bad", "code"), [(b"", "file-empty"), (b"\xff", "file-encoding")])
def test_an_import_that_cannot_be_read(tmp_path: Path, bad: bytes, code: str) -> None:
    (tmp_path / "b.arch").write_bytes(bad)
    (tmp_path / "a.arch").write_text("import b\n" + LAYER)
    assert only(tmp_path / "a.arch")[0] == code


def code_of_compiling(source: Path, out: Path, **more: object) -> str:
    with pytest.raises(UserError) as raised:
        api.compile(source, out, **more)  # type: ignore[arg-type]
    (problem,) = raised.value.problems
    return problem.kind.code


def test_a_package_that_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "a.arch"
    source.write_text(LAYER)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "notes.txt").write_text("keep")
    assert code_of_compiling(source, theirs) == "out-taken"
    assert [path.name for path in theirs.iterdir()] == ["notes.txt"]
    assert code_of_compiling(source, source / "below") == "out-unwritable"
    assert code_of_compiling(source, tmp_path / "out", targets=("fortran",)) == "unknown-target"
    source.write_text("fn f(x) { return x }\n")
    assert code_of_compiling(source, tmp_path / "out") == "no-layer"
    assert not (tmp_path / "out").exists()


def test_a_variable_that_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.arch").write_text(LAYER)
    monkeypatch.setenv("ARCHC_VERIFY", "yes")
    assert code_of_compiling(tmp_path / "a.arch", tmp_path / "out") == "environment"
    assert not (tmp_path / "out").exists()
