"""archc.load: classes by attribute, made when asked for."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import archc
from archc import api

SCALE = """
# Scales.
layer Scale(c: axis, static power: int = 1) {
    param gamma[c] = 2
    forward(x[..., c]) -> like x { return x * gamma ^ power }
}
layer Other(c: axis) { inner = Scale(c=c) forward(x[..., c]) -> like x { return inner(x) } }
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "scale.arch"
    path.write_text(SCALE.replace("inner = Scale(c=c) forward", "inner = Scale(c=c)\n    forward"))
    return path


def test_layers_are_classes(source: Path) -> None:
    space = archc.load(source)
    assert dir(space) == ["Other", "Scale"] and space.Scale is space.Scale
    assert issubclass(space.Scale, torch.nn.Module) and space.Scale.__name__ == "Scale"
    assert torch.equal(space.Other(c=2)(torch.ones(3, 2)), torch.full((3, 2), 2.0))
    assert (space.Scale.__doc__ or "").startswith("Scales.")


def test_static_choices(source: Path) -> None:
    assert torch.equal(archc.load(source, power=3).Scale(c=1)(torch.ones(1)), torch.tensor([8.0]))
    with pytest.raises(archc.UserError, match="has no static parameter 'powr'") as caught:
        archc.load(source, powr=3)
    assert "power" in str(caught.value)


def test_an_unknown_layer_or_backend(source: Path) -> None:
    with pytest.raises(AttributeError, match="has no layer 'Scal'; it has Scale, Other"):
        archc.load(source).Scal  # noqa: B018
    with pytest.raises(ValueError, match="no backend 'cuda'"):
        archc.load(source, backend="cuda")  # type: ignore[arg-type]


def test_errors_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "bad.arch"
    path.write_text(
        "layer A(c: axis) { forward(x[c]) -> [c] { return y } }\nlayer B(c: axis) { forward(x[c]) -> [c] { return z } }"
    )
    with pytest.raises(archc.UserError) as caught:
        archc.load(path)
    assert len(caught.value.problems) == 2 and "bad.arch:1:" in str(caught.value)


@pytest.mark.parametrize("name, message", [("nowhere.arch", "there is no file"), ("std.nowhere", "there is no")])
def test_a_file_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(archc.UserError, match=message):
        archc.load(name)


def test_copies_and_pickles(source: Path) -> None:
    module = archc.load(source, power=2).Other(c=2)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(twin) is type(module) and torch.equal(twin(torch.ones(2)), torch.full((2,), 2.0))


def test_a_pickle_opens_in_another_process(source: Path, tmp_path: Path) -> None:
    (tmp_path / "it.pickle").write_bytes(pickle.dumps(archc.load(source, power=2).Scale(c=2)))
    code = "import pickle, torch; print(pickle.load(open('it.pickle', 'rb'))(torch.ones(2)).tolist())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[4.0, 4.0]"


def test_a_changed_file_is_compiled_again(source: Path) -> None:
    assert archc.load(source).Scale(c=1)(torch.ones(1)).item() == 2
    source.write_text(source.read_text().replace("= 2", "= 5"))
    assert archc.load(source).Scale(c=1)(torch.ones(1)).item() == 5


def test_the_code_shows_in_tracebacks(source: Path) -> None:
    import traceback

    try:
        archc.load(source).Scale(c=2)(torch.ones(3))
    except ValueError as error:
        assert "raise ValueError(" in "".join(traceback.format_exception(error))


def test_importing_archc_loads_nothing_heavy() -> None:
    code = "import sys, archc; print([m for m in ('torch', 'numpy', 'lark', 'networkx', 'sympy') if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["F", "nn", "torch", "Tensor", "ValueError", "None", "class", "annotations"])
def test_a_layer_may_have_a_name_that_means_something_else_in_python(name: str) -> None:
    loaded = api.load_text(f"layer {name}() {{ forward(x[...]) -> like x {{ return relu(x) }} }}", "names.arch")
    assert getattr(loaded, name)()(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]


def backend_of(space: object, layer: str) -> str:
    home = sys.modules[getattr(space, layer).__module__]
    return "cpp" if hasattr(home, "_kernels") else "torch"


@pytest.mark.compiler
def test_the_automatic_backend_has_kernels_where_there_is_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARCHC_BACKEND")
    assert backend_of(archc.load("std.norm"), "RMSNorm") == "cpp"
    assert backend_of(archc.load("std.norm", backend="torch"), "RMSNorm") == "torch"
    monkeypatch.setenv("ARCHC_BACKEND", "torch")
    assert backend_of(archc.load("std.norm"), "RMSNorm") == "torch"
    assert backend_of(archc.load("std.norm", backend="cpp"), "RMSNorm") == "cpp"


def test_the_automatic_backend_without_a_compiler_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from archc.runtime import native

    def refuse() -> tuple[str, ...]:
        raise native.BuildError("there is no C++ compiler")

    monkeypatch.delenv("ARCHC_BACKEND")
    monkeypatch.setattr(native, "compiler", refuse)
    api._found.cache_clear()
    try:
        with pytest.warns(UserWarning, match="torch's own operations, because there is no C\\+\\+ compiler") as said:
            spaces = [archc.load("std.norm") for _ in range(2)]
        assert len(said) == 1
        assert [backend_of(space, "RMSNorm") for space in spaces] == ["torch", "torch"]
    finally:
        api._found.cache_clear()
