"""`archc doctor`: what this machine can run, and why not; `--limits`: every limit of the compiler."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata

from archc.version import __version__

EXAMPLES = "examples:\n  archc doctor\n  archc doctor --limits --json"
OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True)
class Finding:
    """`ok` is None where a thing is missing and not needed."""

    name: str
    ok: bool | None
    text: str


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limits", action="store_true", help="print the table of limits instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.limits:
        return _limits(options.json)
    findings = [_python(), *_packages(), _resources(), _data(), _cpu(), _compiler(), *_gpu()]
    if options.json:
        print(json.dumps({"archc": __version__, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        print(f"archc {__version__}")
        for f in findings:
            print(f"  {'ok' if f.ok else 'no' if f.ok is False else '--'}  {f.name:13} {f.text}")
    return int(any(f.ok is False for f in findings))


def _limits(as_json: bool) -> int:
    from archc.limits import LIMITS

    if as_json:
        print(json.dumps({name: asdict(bound) for name, bound in LIMITS.items()}, indent=2))
        return 0
    width = max(map(len, LIMITS))
    for name, bound in LIMITS.items():
        print(f"{name:{width}}  {bound.sentence.format(value=bound.value)}")
    return 0


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", False, f"{version}: archc needs {'.'.join(map(str, OLDEST_PYTHON))} or later")
    return Finding("python", True, f"{version} on {platform.system()} {platform.machine()}, {sys.executable}")


def _packages() -> list[Finding]:
    """What archc needs, and what some commands need, read from installed metadata: nothing is imported."""
    needed = {"lark": "reads .arch files", "torch": "runs what was compiled", "numpy": "evaluates graphs",
              "networkx": "orders graphs", "rich": "shows progress", "safetensors": "stores weights"}
    findings = [_package(name, what, needed=True) for name, what in needed.items()]
    return [*findings, _package("scikit-learn", "brings the data digits, breast-cancer, diabetes (pip install 'archc[data]')",
                                needed=False)]


def _package(name: str, what: str, needed: bool) -> Finding:
    try:
        return Finding(name, True, f"{metadata.version(name)}: {what}")
    except metadata.PackageNotFoundError:
        return Finding(name, False if needed else None, f"not installed; it {what}")


def _resources() -> Finding:
    from archc import resources

    try:
        return Finding("stdlib", True, f"{len(list(resources.folder(resources.STDLIB).glob('*.arch')))} modules in "
                                       f"{resources.folder(resources.STDLIB)}")
    except FileNotFoundError as error:
        return Finding("stdlib", False, str(error))


def _data() -> Finding:
    from archc.train.data import fashion

    folder = fashion.installed()
    return Finding("fashion-mnist", bool(folder) or None,
                   f"in {folder}" if folder else f"not on this machine (apt-get install {fashion.PACKAGE})")


def _cpu() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("cpu", True, f"{count} cores; the torch target runs here")


def _compiler() -> Finding:
    from archc.runtime import native

    try:
        command, threads = " ".join(native.compiler()), "" if native.has_threads() else ", in one thread"
        return Finding("c++ compiler", True, f"{command}; the cpp target runs here{threads}")
    except native.BuildError as problem:
        return Finding("c++ compiler", None, f"{problem}; the torch target does without")


def _gpu() -> list[Finding]:
    """The GPU that torch sees, and triton. Importing torch takes a while, so it is done here and only here."""
    triton = importlib.util.find_spec("triton") is not None
    found = Finding("triton", triton or None,
                    metadata.version("triton") if triton else "not installed; not needed by the torch target")
    try:
        import torch
    except Exception as error:  # a broken installation may raise anything
        return [Finding("gpu", None, f"torch cannot be imported: {str(error).splitlines()[0] if str(error) else error!r}"), found]
    if not torch.cuda.is_available():
        why = "this torch is built for CPUs" if torch.version.cuda is None and torch.version.hip is None else "torch sees none"
        return [Finding("gpu", None, why), found]
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return [Finding("gpu", True, names), found]
