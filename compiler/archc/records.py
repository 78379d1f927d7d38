"""`dataclass` as of the standard library, made in a fifth of the time: half of what a short command did was to make its classes.

The methods of a class are compiled in one piece, those that compare when they are first called. What is rare is left to the
standard library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, *, frozen: bool = False, eq: bool = True, order: bool = False) -> Any:
        if cls is None:
            return lambda cls: dataclass(cls, frozen=frozen, eq=eq, order=order)
        if order:
            return dataclasses.dataclass(cls, frozen=frozen, order=True)
        return _made(cls, frozen, eq)


def _made(cls: Any, frozen: bool, eq: bool) -> Any:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else the standard library spells the signature
    cls = dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
    fields = dataclasses.fields(cls)
    if "__init__" not in cls.__dict__:
        cls.__init__ = _compiled("__init__", _init(cls, fields, frozen), cls, {f.name: f for f in fields})
    if "__repr__" not in cls.__dict__:
        cls.__repr__ = _repr
    if eq:
        names = [f.name for f in fields if f.compare]
        own, others = (f"({''.join(f'{of}.{name}, ' for name in names)})" for of in ("self", "other"))
        if "__eq__" not in cls.__dict__:
            same = f"def __eq__(self, other):\n return {own} == {others} if other.__class__ is self.__class__ else NotImplemented"
            cls.__eq__ = _later("__eq__", same, cls)
        if "__hash__" not in cls.__dict__ or cls.__dict__["__hash__"] is None:
            cls.__hash__ = _later("__hash__", f"def __hash__(self):\n return hash({own})", cls) if frozen else None
    if frozen:
        cls.__setattr__ = cls.__delattr__ = _refuse
    return cls


def _init(cls: type, fields: Sequence[dataclasses.Field[Any]], frozen: bool) -> str:
    """The text of `__init__`. A default is the field's own object, found by its name."""
    parameters, lines = ["self"], []
    for f in fields:
        value = f.name
        if not f.init:
            if f.default_factory is dataclasses.MISSING:
                continue  # the class has its default, or `__post_init__` sees to it
            value = f"_fields[{f.name!r}].default_factory()"
        elif f.default_factory is not dataclasses.MISSING:
            parameters.append(f"{f.name}=_unset")
            value = f"_fields[{f.name!r}].default_factory() if {f.name} is _unset else {f.name}"
        else:
            parameters.append(f.name if f.default is dataclasses.MISSING else f"{f.name}=_fields[{f.name!r}].default")
        lines.append(f" _set(self, {f.name!r}, {value})" if frozen else f" self.{f.name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    return f"def __init__({', '.join(parameters)}):\n" + ("\n".join(lines) or " pass")


def _compiled(name: str, text: str, cls: type, fields: dict[str, Any] | None = None) -> Callable[..., Any]:
    names: dict[str, Any] = {"_set": object.__setattr__, "_unset": object(), "_fields": fields or {}}
    exec(text, names)
    made: Callable[..., Any] = names[name]
    made.__qualname__ = f"{cls.__qualname__}.{name}"
    return made


def _later(name: str, text: str, cls: Any) -> Callable[..., Any]:
    """A method that is compiled when it is called for the first time."""

    def first(self: object, *others: object) -> object:
        if cls.__dict__[name] is first:
            setattr(cls, name, _compiled(name, text, cls))
        return cls.__dict__[name](self, *others)

    return first


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse(self: object, name: str, *_: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r}")
