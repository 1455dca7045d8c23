"""A dataclass of ours is one of the standard library to everybody who looks at it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from asyncdicom import records

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

WISHES = [
    {},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "kw_only": True},
    {"slots": True, "eq": False},
    {"frozen": True, "slots": True, "order": True},
]
MAKERS = [records.dataclass, dataclasses.dataclass]


def both(wish: dict[str, bool], make: Callable[[], type]) -> list[Any]:
    """Return a class as each of the two makes it."""
    return [maker(**wish)(make()) for maker in MAKERS]


def shape() -> type:
    class Shape:
        """With everything that fields can have."""

        name: str
        count: int = 1
        parts: list[int] = field(default_factory=list)
        secret: str = field(default="s", repr=False)
        note: str = field(default="n", compare=False)
        made: int = field(default=7, init=False)
        keyword: int = field(default=2, kw_only=True)

        @property
        def double(self) -> int:
            return 2 * self.count

    return Shape


def hash_or_refusal(one: object) -> object:
    try:
        hash(one)
    except TypeError as error:
        return type(error)
    return int


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_what_is_said_of_the_fields_is_the_same(wish: dict[str, bool]) -> None:
    ours, original = both(wish, shape)
    assert [one.name for one in dataclasses.fields(ours)] == [
        one.name for one in dataclasses.fields(original)
    ]
    assert ours.__match_args__ == original.__match_args__
    parameters = [
        [(one.name, one.kind) for one in inspect.signature(made).parameters.values()]
        for made in (ours, original)
    ]
    assert parameters[0] == parameters[1]
    assert ours.__init__.__annotations__ == original.__init__.__annotations__


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_instances_look_and_compare_alike(wish: dict[str, bool]) -> None:
    found = []
    for made in both(wish, shape):
        one, same = made(name="a", parts=[1]), made(name="a", parts=[1])
        other, noted = made(name="a", count=2), made(name="a", parts=[1], note="else")
        found.append(
            [
                *(repr(one), one == same, one == other, one == noted, one != "a"),
                *(
                    one.double,
                    dataclasses.asdict(one),
                    hash_or_refusal(one),
                    hasattr(one, "__dict__"),
                ),
                dataclasses.asdict(dataclasses.replace(one, count=5)),
                made(name="b").parts is made(name="b").parts,
            ]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_arguments_are_refused_alike(wish: dict[str, bool]) -> None:
    for made in both(wish, shape):
        with pytest.raises(TypeError):
            made()
        with pytest.raises(TypeError):
            made(name="a", made=8)
        with pytest.raises(TypeError):
            made(name="a", unknown=8)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_frozen_one_cannot_be_changed(maker: Any) -> None:
    one = maker(frozen=True, slots=True)(shape())(name="a")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'count'"):
        one.count = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'count'"):
        del one.count


def test_one_with_slots_gets_no_other_attributes() -> None:
    # The original raises a TypeError: its method still asks for the class without slots.
    maker: Any = records.dataclass
    one = maker(frozen=True, slots=True)(shape())(name="a")
    with pytest.raises(FrozenInstanceError):
        one.unknown = 2


@pytest.mark.parametrize("maker", MAKERS)
def test_a_class_derived_from_a_frozen_one_has_attributes_of_its_own(maker: Any) -> None:
    base: Any = maker(frozen=True)(shape())
    derived: Any = type("Derived", (base,), {})
    one = derived(name="a")
    one.own = 1
    assert one.own == 1
    with pytest.raises(FrozenInstanceError):
        one.count = 2


@records.dataclass(frozen=True, slots=True)
class Pair(Generic[T]):
    """At the top of a module, so that pickle finds it."""

    first: T
    second: int = 2


@records.dataclass(frozen=True, slots=True)
class Triple(Pair[T]):
    """Derived, with a slot of its own."""

    third: int = 3

    def __post_init__(self) -> None:
        if self.third < 0:
            raise ValueError(self.third)


def unpickled(one: object) -> object:
    return pickle.loads(pickle.dumps(one))


@pytest.mark.parametrize("one", [Pair("a"), Triple("a", third=4)], ids=repr)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_and_pickles_are_equal(one: Pair[str], again: Callable[[Any], Any]) -> None:
    assert again(one) == one
    assert type(again(one)) is type(one)


def test_a_derived_one_has_the_fields_of_both_and_runs_its_check() -> None:
    assert repr(Triple("a")) == "Triple(first='a', second=2, third=3)"
    assert Triple("a") != Pair("a")
    assert vars(Triple)["__slots__"] == ("third",)
    with pytest.raises(ValueError, match="-1"):
        Triple("a", third=-1)


def test_patterns_match() -> None:
    match Pair("a"):
        case Pair(first, second):
            assert (first, second) == ("a", 2)


def own_methods() -> type:
    class Own:
        name: str

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

    return Own


@pytest.mark.parametrize("maker", MAKERS)
def test_methods_that_a_class_has_are_kept(maker: Any) -> None:
    own = maker(frozen=True, slots=True)(own_methods())
    assert (repr(own("a")), own("a") == own("b"), hash(own("a"))) == ("mine", True, 5)


@pytest.mark.parametrize("maker", MAKERS)
def test_who_compares_itself_and_is_frozen_is_hashed_by_its_fields(maker: Any) -> None:
    bare = own_methods()
    # As Python leaves it in a class that defines `__eq__` alone.
    bare.__hash__ = None  # type: ignore[assignment]  # -- as the comment says
    own = maker(frozen=True)(bare)
    assert hash(own("a")) == hash(("a",)) or hash(own("a")) == hash("a")


@pytest.mark.parametrize("maker", MAKERS)
def test_nothing_is_a_dataclass_too(maker: Any) -> None:
    @maker(frozen=True, slots=True)
    class Nothing:
        pass

    assert Nothing() == Nothing()
    assert repr(Nothing()).endswith("Nothing()")
