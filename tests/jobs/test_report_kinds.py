"""What a record is about: told from its place in the tree, else from its URL."""

from __future__ import annotations

import pytest

from asyncdicom.jobs.dump_paths import path_of
from asyncdicom.jobs.report_kinds import UNREADABLE_URL, Kind, kind_of, shown_url
from asyncdicom.model import Resource, Target, parse_uid

STUDY, SERIES, SOP = parse_uid("1.2"), parse_uid("1.2.3"), parse_uid("1.2.3.4")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (Target(Resource.SEARCH, STUDY), Kind.SEARCH),
        (Target(Resource.SEARCH, STUDY, SERIES), Kind.SEARCH),
        (Target(Resource.STUDY, STUDY), Kind.STUDY),
        (Target(Resource.SERIES, STUDY, SERIES), Kind.SERIES),
        (Target(Resource.INSTANCE, STUDY, SERIES, SOP), Kind.INSTANCE),
        (Target(Resource.METADATA, STUDY), Kind.STUDY_METADATA),
        (Target(Resource.METADATA, STUDY, SERIES), Kind.SERIES_METADATA),
        (Target(Resource.METADATA, STUDY, SERIES, SOP), Kind.INSTANCE_METADATA),
        (Target(Resource.FRAME, STUDY, SERIES, SOP, frame_number=3), Kind.FRAME),
        (Target(Resource.BULKDATA, STUDY, SERIES, SOP, attribute="00420011"), Kind.BULKDATA),
        (Target(Resource.RENDERED, STUDY, SERIES, SOP), Kind.RENDERED),
        (Target(Resource.THUMBNAIL, STUDY), Kind.THUMBNAIL),
    ],
    ids=str,
)
def test_every_path_that_dump_writes_is_known_without_its_url(target: Target, kind: Kind) -> None:
    *names, name = path_of(target).split("/")
    assert kind_of(tuple(names), name, "nonsense") is kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("studies", Kind.SEARCH),
        ("studies?PatientID=X", Kind.SEARCH),
        ("studies/1.2", Kind.STUDY),
        ("studies/1.2/", Kind.STUDY),
        ("studies/1.2/metadata", Kind.STUDY_METADATA),
        ("studies/1.2/series", Kind.SEARCH),
        ("studies/1.2/instances", Kind.SEARCH),
        ("studies/1.2/series/1.3", Kind.SERIES),
        ("studies/1.2/series/1.3/metadata", Kind.SERIES_METADATA),
        ("studies/1.2/series/1.3/instances", Kind.SEARCH),
        ("studies/1.2/series/1.3/instances/1.4", Kind.INSTANCE),
        ("studies/1.2/series/1.3/instances/1.4/metadata", Kind.INSTANCE_METADATA),
        ("studies/1.2/series/1.3/instances/1.4/frames/1,2", Kind.FRAME),
        ("studies/1.2/series/1.3/instances/1.4/frames/1/rendered", Kind.RENDERED),
        ("studies/1.2/series/1.3/instances/1.4/thumbnail", Kind.THUMBNAIL),
        ("studies/1.2/series/1.3/instances/1.4/bulkdata/7", Kind.BULKDATA),
        ("studies/studies/1.2/metadata", Kind.STUDY_METADATA),
        ("series", Kind.SEARCH),
        ("wado?requestType=WADO", Kind.OTHER),
        ("", Kind.OTHER),
    ],
    ids=lambda value: value or "nothing",
)
def test_elsewhere_the_url_decides(path: str, kind: Kind) -> None:
    assert kind_of((), "copied", f"https://host/dicom-web/{path}") is kind


def test_metadata_of_a_folder_within_the_tree_is_judged_by_its_url() -> None:
    url = "https://host/studies/1.2/series/1.3/instances/1.4/metadata"
    assert kind_of((), "metadata", url) is Kind.INSTANCE_METADATA
    assert kind_of(("1.2",), "metadata", "nonsense") is Kind.STUDY_METADATA


def test_labels_are_words() -> None:
    assert Kind.STUDY_METADATA.label == "study metadata"


def test_a_url_that_cannot_be_split_is_of_no_kind() -> None:
    assert kind_of((), "copied", "http://[::1/studies") is Kind.OTHER


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/studies/1.2", "https://host/studies/1.2"),
        ("https://me:secret@host:8443/a?token=secret#secret", "https://host:8443/a"),
        ("https://me:se@cret@host/a", "https://host/a"),
        ("https://secret@host/a;b", "https://host/a;b"),
        ("me:secret@host/studies", UNREADABLE_URL),
        ("ftp://me:secret@host/studies", UNREADABLE_URL),
        ("http:me:secret@host", UNREADABLE_URL),
        ("http://me:secret@[host/", UNREADABLE_URL),
        ("http://me:secret@host:port/", UNREADABLE_URL),
        ("//me:secret@host/a", UNREADABLE_URL),
        ("", UNREADABLE_URL),
    ],
)
def test_user_information_and_query_are_never_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_an_endless_url_is_cut() -> None:
    assert len(shown_url("https://host/" + "a" * 100_000)) == 1_000
