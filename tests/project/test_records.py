"""`archc.records.dataclass` makes the classes that the standard library makes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from archc import records


def classes(dataclass: Callable[..., Any]) -> dict[str, Any]:
    @dataclass(frozen=True)
    class Point:
        x: int
        y: float = 2.5
        note: str = dataclasses.field(default="", compare=False)
        parts: list[int] = dataclasses.field(default_factory=list, compare=False, repr=False)

    @dataclass(frozen=True, eq=False)
    class Single:
        """Compared by identity."""

        value: object

    @dataclass
    class Open:
        items: list[object]
        total: int = dataclasses.field(init=False, default=0)
        seen: list[object] = dataclasses.field(init=False, default_factory=list)
        last: str = "end"

        def __post_init__(self) -> None:
            self.total = len(self.items)

    @dataclass(frozen=True)
    class Own:
        value: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and self.value % 2 == other.value % 2

        def __hash__(self) -> int:
            return self.value % 2

    @dataclass(frozen=True)
    class Empty:
        pass

    @dataclass(frozen=True, order=True)
    class Ordered:
        value: int

    return {name: made for name, made in locals().items() if name != "dataclass"}


@records.dataclass(frozen=True)
class Kept:
    value: int
    more: tuple[int, ...] = ()


def seen(made: dict[str, Any]) -> list[object]:
    """Everything that the classes do, without the names that differ by where they were made."""
    point, single, open_, own, empty = (made[name] for name in ("Point", "Single", "Open", "Own", "Empty"))
    a, b = point(1), point(x=1, y=2.5, note="other", parts=[3])
    value = single(a)
    found: list[object] = [
        (a == b, a != b, hash(a) == hash(b), a == point(2), a == (1, 2.5), len({a, b, point(2)})),
        (repr(a), repr(empty()), repr(value), a.parts, a.parts is not point(1).parts),
        (value == single(a), value == value, hash(value) == hash(single(a))),
        (open_([1, 2]).total, open_([1]).seen, open_([1], "now").last, open_([1]) == open_([1]), open_.__hash__),
        (own(1) == own(3), hash(own(1)) == hash(own(3)), own(1) == own(2), empty() == empty(), hash(empty()) == hash(empty())),
        ([f.name for f in dataclasses.fields(point)], point.__match_args__, dataclasses.replace(a, y=1.0).y),
        (dataclasses.asdict(a), copy.copy(a) == a, copy.deepcopy(open_([[1]])).items, made["Ordered"](1) < made["Ordered"](2)),
    ]
    circle = open_([])
    circle.items.append(circle)
    found.append(repr(circle))
    changes: list[Callable[[], object]] = [lambda: setattr(a, "x", 2), lambda: delattr(a, "x"), lambda: setattr(a, "new", 2)]
    changes += [lambda: point(), lambda: point(1, 2, 3, 4, 5), lambda: point(1, z=2)]
    for change in changes:
        with pytest.raises((AttributeError, TypeError)) as error:
            change()
        found.append(type(error.value))
    return found


def test_the_classes_are_those_of_the_standard_library() -> None:
    assert seen(classes(records.dataclass)) == seen(classes(dataclasses.dataclass))


def test_objects_survive_pickling() -> None:
    kept = Kept(1, (2,))
    assert pickle.loads(pickle.dumps(kept)) == kept
