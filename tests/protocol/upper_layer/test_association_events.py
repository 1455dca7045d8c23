"""What an association tells: a closed union of frozen values."""

from __future__ import annotations

from typing import get_args

import pytest

from asyncdicom.protocol.upper_layer.association_events import (
    AssociationEvent,
    ReleaseRequested,
)
from tests.protocol.upper_layer.samples import dataset


def test_the_union_names_each_of_them() -> None:
    assert {kind.__name__ for kind in get_args(AssociationEvent)} == {
        "AssociationAccepted",
        "AssociationReleased",
        "AssociationRequested",
        "PdvFragment",
        "ReleaseRequested",
    }


@pytest.mark.parametrize("event", [ReleaseRequested(), dataset(1, b"x")], ids=["release", "data"])
def test_an_event_cannot_be_changed(event: AssociationEvent) -> None:
    with pytest.raises(AttributeError):
        setattr(event, "data" if isinstance(event, tuple) else "is_collision", b"")


def test_a_release_is_no_collision_unless_said() -> None:
    assert not ReleaseRequested().is_collision
