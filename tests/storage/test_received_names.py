from __future__ import annotations

import csv
import os
import random
import re
import uuid
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError
from asyncdicom.model import Uid
from asyncdicom.storage import received_names
from asyncdicom.storage.directories import check_name
from asyncdicom.storage.received_names import NameSources, NamingScheme, ReceivedNames
from asyncdicom.storage.templates import Instance

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PRIVATE = "1.2.3.4"
NOW = datetime(2026, 11, 30, 1, 2, 3, 45)  # noqa: DTZ001 -- names show local time
BEGAN = f"{int(NOW.timestamp()):08x}"

HOSTILE = st.text(st.sampled_from("./\\ \0\n_^ABß山\ud800\u202eCONnul:@-"), max_size=64)


def sources(
    *, taken: frozenset[str] = frozenset(), step_s: float = 0, seed: int = 1
) -> NameSources:
    clock = iter(NOW + timedelta(seconds=step_s * n) for n in range(1_000_000))
    return NameSources(lambda: next(clock), random.Random(seed).getrandbits, taken.__contains__)


def instance(uid: str = "1.2.3", sop_class: str = CT, **values: str) -> Instance:
    return Instance(Uid(uid), None, None, {"SOPClassUID": sop_class, **values})


def path(scheme: NamingScheme, extension: str = "", sop_class: str = CT, **values: str) -> str:
    names = ReceivedNames(
        scheme, sources(), extension=extension, by_series_date="SeriesDate" in values
    )
    return names.path_for(instance(sop_class=sop_class, **values))


@pytest.mark.parametrize(
    ("scheme", "sop_class", "extension", "pattern"),
    [
        pytest.param(NamingScheme.DEFAULT, CT, "", r"CT\.1\.2\.3", id="by UID"),
        pytest.param(NamingScheme.DEFAULT, CT, ".dcm", r"CT\.1\.2\.3\.dcm", id="extension"),
        pytest.param(NamingScheme.DEFAULT, CT, "dcm", r"CT\.1\.2\.3dcm", id="verbatim"),
        pytest.param(NamingScheme.DEFAULT, PRIVATE, "", r"UNKNOWN\.1\.2\.3", id="unknown class"),
        pytest.param(NamingScheme.UNIQUE, MR, ".x", r"MR\.X\.2\.25\.[1-9]\d{30,38}\.x", id="new"),
        pytest.param(NamingScheme.UNIQUE, PRIVATE, "", r"UNKNOWN\.X\.2\.25\.\d+", id="new unknown"),
        pytest.param(NamingScheme.SHORT_UNIQUE, CT, "", rf"CT_{BEGAN}[0-9a-f]{{8}}", id="short"),
        pytest.param(
            NamingScheme.SHORT_UNIQUE, PRIVATE, ".d", rf"XX_{BEGAN}[0-9a-f]{{8}}\.d", id="short XX"
        ),
        pytest.param(NamingScheme.SYSTEM_TIME, CT, "", r"20261130010203\.000046\.CT", id="time"),
        pytest.param(
            NamingScheme.SYSTEM_TIME, PRIVATE, ".d", r"\d{14}\.\d{6}\.UNKNOWN\.d", id="time unknown"
        ),
    ],
)
def test_names_are_those_of_dcmtk(
    scheme: NamingScheme, sop_class: str, extension: str, pattern: str
) -> None:
    assert re.fullmatch(pattern, path(scheme, extension, sop_class))


TABLE = Path(__file__).parents[1] / "support" / "modality_prefixes.tsv"
PREFIXES = list(csv.reader(TABLE.read_text().splitlines(), delimiter="\t"))


@pytest.mark.parametrize(("sop_class", "prefix"), PREFIXES, ids=[row[0] for row in PREFIXES])
def test_each_class_has_its_prefix(sop_class: str, prefix: str) -> None:
    assert path(NamingScheme.DEFAULT, "", sop_class) == f"{prefix}.1.2.3"


@pytest.mark.parametrize(
    ("date", "folder"),
    [
        pytest.param("20200304", "data/2020/03/04", id="date"),
        pytest.param("20200304 ", "data/2020/03/04", id="padded"),
        pytest.param("2020.03.04", "data/2020/03/04", id="as before 1993"),
        pytest.param("20200304\\20210101", "data/2020/03/04", id="first of two"),
        pytest.param("20200230", "data/2020/02/30", id="days of months are not counted"),
        pytest.param("00000101", "data/0000/01/01", id="year 0"),
        pytest.param("", "undef/20261130", id="empty"),
        pytest.param("20201399", "undef/20261130", id="no month, no day"),
        pytest.param("20200100", "undef/20261130", id="day 0"),
        pytest.param("20200132", "undef/20261130", id="day 32"),
        pytest.param("20200004", "undef/20261130", id="month 0"),
        pytest.param("2020-03-04", "undef/20261130", id="dashes"),
        pytest.param("2020.0304", "undef/20261130", id="one dot"),
        pytest.param("20200304-", "undef/20261130", id="range"),
        pytest.param("202003", "undef/20261130", id="month only"),
        pytest.param("202003041", "undef/20261130", id="too long"),
        pytest.param("２０２００３０４", "undef/20261130", id="digits of another script"),  # noqa: RUF001 -- meant
        pytest.param("../../etc", "undef/20261130", id="hostile"),
    ],
)
def test_folders_go_by_the_date_of_the_series(date: str, folder: str) -> None:
    assert path(NamingScheme.DEFAULT, SeriesDate=date) == f"{folder}/CT.1.2.3"


def test_an_instance_without_a_date_goes_to_the_folder_of_today() -> None:
    names = ReceivedNames(NamingScheme.DEFAULT, sources(), by_series_date=True)
    assert names.path_for(instance()) == "undef/20261130/CT.1.2.3"


@pytest.mark.parametrize(
    ("extension", "shown"),
    [
        pytest.param("/../x", "_.._x", id="separators"),
        pytest.param("\\x", "_x", id="other separators"),
        pytest.param(" -.:@_aZ9", " -.:@_aZ9", id="what is kept"),
        pytest.param("é", "__", id="each byte of what is not ASCII"),
        pytest.param("\0\n~#", "____", id="control and special characters"),
        pytest.param(".", "_", id="Windows drops a dot at the end"),
    ],
)
def test_what_is_unusual_in_a_name_is_replaced(extension: str, shown: str) -> None:
    assert path(NamingScheme.DEFAULT, extension) == f"CT.1.2.3{shown}"


def test_an_extension_that_leaves_no_room_is_refused() -> None:
    assert path(NamingScheme.DEFAULT, "x" * 64)
    with pytest.raises(ConfigError, match="64"):
        path(NamingScheme.DEFAULT, "x" * 65)


@pytest.mark.parametrize("scheme", [one for one in NamingScheme if one.is_unique])
@pytest.mark.parametrize("step_s", [0.0, -1.0, 1e-7], ids=["still", "back", "coarse"])
def test_no_unique_name_is_given_out_twice(scheme: NamingScheme, step_s: float) -> None:
    names = ReceivedNames(scheme, sources(step_s=step_s))
    assert len({names.path_for(instance()) for _ in range(2_000)}) == 2_000


@pytest.mark.parametrize("scheme", [one for one in NamingScheme if one.is_unique])
def test_a_unique_name_is_none_that_is_taken(scheme: NamingScheme) -> None:
    first = [ReceivedNames(scheme, sources()).path_for(instance())]
    twin = ReceivedNames(scheme, sources(taken=frozenset(first)))
    assert twin.path_for(instance()) not in first


def test_a_time_is_that_of_the_clock() -> None:
    names = ReceivedNames(NamingScheme.SYSTEM_TIME, sources(step_s=10))
    told = [names.path_for(instance()) for _ in range(3)]
    assert told == [f"202611300102{second}.000045.CT" for second in (13, 23, 33)]


def test_a_new_uid_is_a_random_uuid() -> None:
    names = ReceivedNames(NamingScheme.UNIQUE, sources())
    for _ in range(20):
        number = int(names.path_for(instance()).removeprefix("CT.X.2.25."))
        assert uuid.UUID(int=number).version == 4
        assert uuid.UUID(int=number).variant == uuid.RFC_4122


@pytest.mark.parametrize("seed", range(8))
def test_a_short_name_repeats_only_after_all_others(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received_names, "WORD_BITS", 8)
    names = ReceivedNames(NamingScheme.SHORT_UNIQUE, sources(seed=seed))
    assert len({names.path_for(instance()) for _ in range(256)}) == 256


def test_the_same_instance_has_the_same_name_in_the_default_scheme() -> None:
    taken = frozenset({"CT.1.2.3"})
    names = ReceivedNames(NamingScheme.DEFAULT, sources(taken=taken))
    assert {names.path_for(instance()) for _ in range(3)} == taken


@given(
    scheme=st.sampled_from(NamingScheme),
    uid=HOSTILE,
    sop_class=HOSTILE,
    extension=HOSTILE,
    date=HOSTILE,
)
def test_no_path_leaves_the_folder(
    scheme: NamingScheme, uid: str, sop_class: str, extension: str, date: str
) -> None:
    names = ReceivedNames(scheme, sources(), extension=extension, by_series_date=True)
    given_path = names.path_for(instance(uid, sop_class, SeriesDate=date))
    parts = PurePosixPath(given_path).parts
    assert parts[0] == "undef"
    assert len(parts) == 3
    for part in parts:
        check_name(part, given_path)
        assert len(os.fsencode(part)) <= 255


def test_a_uid_of_any_length_gives_a_name_that_fits() -> None:
    names = ReceivedNames(NamingScheme.DEFAULT, sources(), extension="x" * 64)
    one, other = (names.path_for(instance(f"{'1.' * 150}{end}")) for end in "12")
    assert len(one) == len(other) == 255
    assert one != other
