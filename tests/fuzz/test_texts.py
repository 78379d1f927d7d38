"""Random and mutated texts through the parser and the checker: never a traceback, a hang, or much memory.

Mutations of all that the language has go further where they are right: a layer becomes a graph, its text, source, and a package.
Seeds are fixed. A quick slice runs always; all 10,000 and 20,000 with --slow.
"""

from __future__ import annotations

import contextlib
import random
import re
import resource
import sys
import time
from collections.abc import Iterator

import pytest

from archc import api
from archc.checker.program import Program
from archc.diagnostics.model import ArchError
from archc.ir.digest import digest
from archc.ir.lower import lower_graph
from archc.ir.text import parse, write
from archc.ir.to_source import to_source
from archc.ir.verify import verify
from archc.resources import STDLIB, folder
from tests.fuzz.programs import PIECES, spliced

SECONDS, MEGABYTES = 2.0, 500
WORDS = """fn layer search import forward param buffer axis state scan reverse for in if else when training return yield finally
update given none grad surrogate static like repeat as with by edge reflect wrap hole space and or not true false inf
x y n c k sum mean softmax where abs Linear a.b f( g(
[ ] ( ) { } , : = == != < <= > >= + - * / // % ^ -> ... |n| | " ' # \\ \n \n \t
0 1 2.5 1e-5 "text" ; @ ! & ? $ é 数 \x00 \u202e"""
SPLIT = re.split(r" |(?<=\w)\n", WORDS)
LINES = [
    "return x",
    "y = sum[n](x)",
    "param w[c] = 1",
    "y = x[n = n - 1 else 0]",
    "}",
    "{",
    "fn f(x[n]) -> like x {",
    "layer A(c: axis) {",
]


def library() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder(STDLIB).glob("*.arch"))]


def noise(rng: random.Random) -> str:
    """Random characters, words of the language in any order, or lines of it in any order."""
    size = rng.choice((3, 30, 300))
    pick = rng.randrange(4)
    if pick == 0:
        return "".join(
            chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x300), rng.randrange(0xD7FF)))) for _ in range(size)
        )
    if pick == 1:
        return rng.randbytes(size).decode("latin-1")
    if pick == 2:
        return " ".join(rng.choice(SPLIT) for _ in range(size))
    return "\n".join(rng.choice(LINES) for _ in range(size // 3))


def mutated(rng: random.Random, texts: list[str]) -> str:
    """A declaration or a file of the library with pieces cut, doubled, swapped, replaced or nested."""
    text = rng.choice(texts)
    if rng.random() < 0.8:
        parts = text.split("\n\n")
        text = "\n\n".join(rng.sample(parts, min(len(parts), rng.randrange(1, 4))))
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        i = rng.randrange(len(text) + 1)
        j = min(len(text), i + rng.choice((1, 1, 3, 10, 100)))
        match rng.randrange(7):
            case 0:
                text = text[:i] + text[j:]
            case 1:
                text = text[:i] + rng.choice(SPLIT) + text[j:]
            case 2:
                text = text[:i] + text[i:j] * rng.choice((2, 2, 3, 50)) + text[j:]
            case 3:
                k = rng.randrange(len(text) + 1)
                text = text[:i] + text[k : k + j - i] + text[j:]
            case 4:
                text = text[:i] + rng.choice('()[]{}|",:=#\n') * rng.choice((1, 1, 2, 300)) + text[i:]
            case 5:
                words = text.split(" ")
                a, b = rng.randrange(len(words)), rng.randrange(len(words))
                words[a], words[b] = words[b], words[a]
                text = " ".join(words)
            case _:
                digits = [k for k, c in enumerate(text) if c.isdigit()]
                if digits:
                    k = rng.choice(digits)
                    text = text[:k] + rng.choice(("0", "-1", "999999999999", "1e400", "1.5", "n")) + text[k + 1 :]
    return text


def renamed(rng: random.Random, texts: list[str]) -> str:
    """A file of the library where some names, numbers, signs or bracketed lists are others of the same file: it still parses."""
    text = rng.choice(texts)
    for _ in range(rng.choice((1, 1, 2, 3))):
        pattern = rng.choice(PIECES)
        places = list(re.finditer(pattern, text, re.MULTILINE))
        if places:
            a, b = rng.choice(places), rng.choice(places)
            text = text[: a.start()] + b[0] + text[a.end() :]
    return text


def texts_of(seed: int, count: int) -> Iterator[str]:
    rng, files = random.Random(seed), library()
    for _ in range(count):
        kind = rng.random()
        yield noise(rng) if kind < 0.2 else mutated(rng, files) if kind < 0.5 else renamed(rng, files)


def run(seed: int, count: int) -> None:
    broken, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of the tests before, too
    for number, text in enumerate(texts_of(seed, count)):
        start = time.process_time()
        try:
            found = api.check(text, "fuzz.arch")
            for diagnostic in found:
                assert diagnostic.message and str(diagnostic)
                assert "<" + diagnostic.code + ">" not in diagnostic.message
        except Exception as error:
            raise AssertionError(f"text {number} of seed {seed}: {type(error).__name__}: {error}\n{text[:3000]!r}") from error
        took = time.process_time() - start
        assert took < SECONDS, f"text {number} of seed {seed} takes {took:.1f} s\n{text[:3000]!r}"
        broken += any(diagnostic.severity == "error" for diagnostic in found)
    assert 0.3 * count < broken, "most mutations should break something, or the fuzzing tests nothing"
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + MEGABYTES * 1024


def test_400_random_and_mutated_texts() -> None:
    run(seed=0, count=400)


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.slow),
                                  *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(2, 11))])
def test_10_000_random_and_mutated_texts(seed: int) -> None:
    run(seed, count=1000)


def run_whole(seed: int, count: int) -> None:
    """Mutations of every program there is, as far as they are right."""
    rng, right, graphs = random.Random(seed), 0, 0
    for number in range(count):
        text = spliced(rng)
        try:
            start = time.process_time()
            found = api.check(text, "fuzz.arch")
            took = time.process_time() - start
            if not any(diagnostic.severity == "error" for diagnostic in found):
                right += 1
                graphs += further(api.open_text(text, "fuzz.arch"))
        except Exception as error:
            raise AssertionError(f"text {number} of seed {seed}: {type(error).__name__}: {error}\n{text[:3000]}") from error
        assert took < SECONDS, f"text {number} of seed {seed} takes {took:.1f} s\n{text[:3000]!r}"
    assert 0.1 * count < right < 0.6 * count
    assert graphs > 0.01 * count


def further(program: Program) -> int:
    """Layers without open choices as graphs, and back from text and source; then as a package. How many graphs it were."""
    count = 0
    for declared in program.layers:
        try:
            unit = api.unit(program, declared.name)
        except ArchError:  # a choice without a default, or one that makes the layer wrong
            continue
        for method in unit.methods:
            for mode in ("train", "eval")[: 1 + (method.eval is not method.train)]:
                graph = lower_graph(unit, method.name, mode)
                verify(graph)
                assert parse(write(graph)) == graph
                count += 1
                try:
                    source = to_source(graph, "Again")
                except ValueError:  # has no words
                    continue
                again = lower_graph(api.unit(api.open_text(source, "again.arch"), "Again"))
                assert digest(again) == digest(graph), source
    if count:
        with contextlib.suppress(ArchError):
            api.emitted(program, None, {})
    return count


def test_100_programs_made_of_others() -> None:
    run_whole(seed=100, count=100)


@pytest.mark.parametrize("seed", [*(pytest.param(seed, marks=pytest.mark.slow) for seed in (101, 102)),
                                  *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(103, 121))])
def test_20_000_programs_made_of_others(seed: int) -> None:
    run_whole(seed, count=1000)


def test_every_prefix_of_a_file_is_told_apart_without_a_traceback() -> None:
    text = min(library(), key=len)
    for end in range(0, len(text), 7):
        for diagnostic in api.check(text[:end], "prefix.arch"):
            assert str(diagnostic)
