"""Values that travel between layers."""

from __future__ import annotations

import pickle

from asyncdicom.ports import objects
from asyncdicom.protocol.object_stores import values
from asyncdicom.protocol.object_stores.values import ListingPage, ObjectDigest, ObjectEntry


def test_the_port_speaks_of_the_same_values() -> None:
    assert objects.ObjectEntry is values.ObjectEntry
    assert objects.ListingPage is values.ListingPage


def test_values_travel_to_other_processes() -> None:
    entry = ObjectEntry("k", 1, "e", digests=(ObjectDigest("md5", bytes(16)),))
    page = ListingPage((entry,), ("a/",), "t")
    assert pickle.loads(pickle.dumps(page)) == page
