"""Dataclasses that cost less at import: a tenth of the start of a download.

    from asyncdicom.records import dataclass

    @dataclass(frozen=True, slots=True)
    class Target:
        uid: str

`dataclasses.dataclass` of Python 3.11 writes and compiles the source of six functions for such
a class. Here `__init__` alone is compiled; the others are closures that compare and hash by
`attrgetter`. With the original in its place (medians of 25 turns, Python 3.11.7) `get s3://` takes
112 ms to its first request instead of 100, `idc get`, whose two processes both make them, 277 ms
to the end of a dry run instead of 252; `--help` has hardly any, and takes 35 ms with either.

Rule: what comes out is a dataclass to everybody: `fields`, `replace`, `match`, copies and pickles;
type checkers see the original. What is not offered here (`order`) is made by the original.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, FrozenInstanceError
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import Field, dataclass
    from typing import TypeAlias

    Fields: TypeAlias = tuple[Field[Any], ...]

__all__ = ["dataclass"]

if not TYPE_CHECKING:

    def dataclass(cls: Any = None, /, *, order: bool = False, **wishes: bool) -> Any:
        """Make a dataclass.

        Args:
            cls: The class, where the decorator has no arguments.
            order: Leaves everything to `dataclasses.dataclass`.
            wishes: `frozen`, `slots`, `eq` and `kw_only`, as there.

        """

        def decorate(cls: Any) -> Any:
            if order:
                return dataclasses.dataclass(order=True, **wishes)(cls)
            return _made(cls, **wishes)

        return decorate if cls is None else decorate(cls)


def _made(
    cls: Any,
    *,
    frozen: bool = False,
    slots: bool = False,
    eq: bool = True,
    kw_only: bool = False,
) -> Any:
    # The original finds the fields, and compiles nothing.
    dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    fields = dataclasses.fields(cls)
    own = {name for name, value in vars(cls).items() if name != "__hash__" or value is not None}
    if slots:
        cls = _slotted(cls, fields)
    cls.__init__ = _init(cls, fields, is_frozen=frozen)
    methods = {"__repr__": _repr_by(fields)}
    if eq:
        methods |= _comparison_by(fields, is_frozen=frozen)
    _add(cls, {name: method for name, method in methods.items() if name not in own})
    if frozen:
        _add(cls, _refusals_of(cls, fields))
        _add(cls, _state_of(fields))
    return cls


def _add(cls: Any, methods: Mapping[str, Any]) -> None:
    for name, method in methods.items():
        if method is not None:
            method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
        setattr(cls, name, method)


def _slotted(cls: Any, fields: Fields) -> Any:
    """Make a class anew, with slots: they cannot be added to one that exists."""
    body = dict(vars(cls))
    inherited = {name for base in cls.__mro__[1:-1] for name in vars(base).get("__slots__", ())}
    body["__slots__"] = tuple(one.name for one in fields if one.name not in inherited)
    for name in ("__dict__", "__weakref__", *(one.name for one in fields)):
        body.pop(name, None)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def _init(cls: Any, fields: Fields, *, is_frozen: bool) -> Callable[..., None]:
    """Compile `__init__`: nothing else is as fast with keywords and defaults."""
    scope: dict[str, Any] = {"_MISSING": MISSING, "_set": object.__setattr__}
    parameters = ["self"]
    by_keyword: list[str] = []
    lines: list[str] = []
    for one in fields:
        value = _value(one, scope)
        if one.init:
            (by_keyword if one.kw_only else parameters).append(_parameter(one))
        if value:
            name = one.name
            lines.append(
                f"_set(self, {name!r}, {value})" if is_frozen else f"self.{name} = {value}"
            )
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    if by_keyword:
        parameters += ["*", *by_keyword]
    source = "\n ".join([f"def __init__({', '.join(parameters)}):", *(lines or ["pass"])])
    exec(source, scope)  # noqa: S102 -- fields are identifiers, values are never in the source
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    made.__annotations__ = {one.name: one.type for one in fields if one.init} | {"return": None}
    return made


def _parameter(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return f"{one.name}=_default_{one.name}"
    return one.name if one.default_factory is MISSING else f"{one.name}=_MISSING"


def _value(one: Field[Any], scope: dict[str, Any]) -> str:
    """Write down what a field gets; empty if it is left to whoever uses it."""
    name = one.name
    if one.default_factory is not MISSING:
        scope[f"_factory_{name}"] = one.default_factory
        made = f"_factory_{name}()"
        return f"{made} if {name} is _MISSING else {name}" if one.init else made
    if one.default is not MISSING:
        scope[f"_default_{name}"] = one.default
        return name if one.init else f"_default_{name}"
    return name if one.init else ""


def _repr_by(fields: Fields) -> Callable[[Any], str]:
    names = tuple(one.name for one in fields if one.repr)

    def represent(self: Any) -> str:
        said = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({said})"

    return represent


def _comparison_by(fields: Fields, *, is_frozen: bool) -> dict[str, Any]:
    """Return `__eq__` and `__hash__`; what can change has no hash."""
    names = [one.name for one in fields if one.compare]
    values: Callable[[Any], Any] = attrgetter(*names) if names else type

    def equal(self: Any, other: Any) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return values(self) == values(other)

    def digest(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": digest if is_frozen else None}


def _refusals_of(cls: Any, fields: Fields) -> dict[str, Any]:
    """Return what refuses changes; a class derived from it may have attributes of its own."""
    names = frozenset(one.name for one in fields)

    def assign(self: Any, name: str, value: object) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def delete(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return {"__setattr__": assign, "__delattr__": delete}


def _state_of(fields: Fields) -> dict[str, Any]:
    """Return what copies and pickles are made by, which may set what nobody else may."""
    names = tuple(one.name for one in fields)

    def give(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    def take(self: Any, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": give, "__setstate__": take}
