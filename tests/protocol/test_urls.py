"""Roots, origins and references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.urls import (
    DimseRoot,
    is_dimse,
    origin_of,
    parse_dimse_root,
    parse_root,
    resolve,
    same_origin,
    scheme_of,
    shown,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        pytest.param("http://h/dicom-web", "http://h/dicom-web", id="plain"),
        pytest.param("http://h:8042/dicom-web/", "http://h:8042/dicom-web", id="trailing slash"),
        pytest.param("https://h/rs/studies", "https://h/rs", id="ends in studies"),
        pytest.param("https://h/rs/studies/", "https://h/rs", id="ends in studies and slash"),
        pytest.param("http://h", "http://h", id="no path"),
        pytest.param(" http://h/x?a=b#c ", "http://h/x", id="query and fragment"),
        pytest.param("http://u:p@h/x", "http://h/x", id="user information"),
        pytest.param("http://[::1]:80/x", "http://[::1]:80/x", id="IPv6"),
        pytest.param("http://röntgen_1.test/x", "http://röntgen_1.test/x", id="another alphabet"),
    ],
)
def test_a_root_is_read_as_people_write_it(text: str, url: str) -> None:
    assert parse_root(text).url == url


def test_user_information_is_kept_apart_and_never_shown() -> None:
    root = parse_root("https://me:secret@h/x")
    assert (root.username, root.password) == ("me", "secret")
    assert "secret" not in repr(root)
    assert root.origin == "https://h:443"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("ftp://h/x", "ftp", id="another scheme"),
        pytest.param("h/dicom-web", "no scheme", id="no scheme"),
        pytest.param("http:///dicom-web", "no host", id="no host"),
        pytest.param("http://h:99999/", "not a URL", id="port out of range"),
        pytest.param("http://h:0/", "port 0", id="port zero"),
        pytest.param("http://[::1/", "not a URL", id="broken address"),
        pytest.param("http://my archive/", "no host can have", id="a blank in the host"),
        pytest.param("http://%zz/", "no host can have", id="an escape in the host"),
        pytest.param("http://a\\b/", "no host can have", id="a backslash in the host"),
        pytest.param("http://a\udcff/", "not text", id="bytes of another encoding in the host"),
        pytest.param("http://h/\udcff", "not text", id="bytes of another encoding in the path"),
        pytest.param("http://\udcff:p@h/", "not text", id="bytes of another encoding in the user"),
    ],
)
def test_what_is_no_root_is_refused_with_an_example(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_root(text)
    assert "http://host" in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("http://h/a", "http://h:80/b", True, id="default port written out"),
        pytest.param("https://H/a", "https://h/b", True, id="case of the host"),
        pytest.param("http://h/a", "https://h/a", False, id="scheme"),
        pytest.param("http://h/a", "http://h:81/a", False, id="port"),
        pytest.param("http://h/a", "http://h.evil/a", False, id="host"),
        pytest.param("http://h/a", "http://h@evil/a", False, id="user information"),
    ],
)
def test_origins_are_scheme_host_and_port(one: str, other: str, same: bool) -> None:  # noqa: FBT001 -- a column
    assert same_origin(one, other) is same


def test_an_ipv6_origin_keeps_its_brackets() -> None:
    assert origin_of("http://[::1]:8042/x") == "http://[::1]:8042"


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        pytest.param("bulkdata/1", "http://h/s/1/bulkdata/1", id="relative"),
        pytest.param("../../b", "http://h/b", id="dots"),
        pytest.param("/b", "http://h/b", id="absolute path"),
        pytest.param("http://o:1/b?x=1#f", "http://o:1/b?x=1", id="absolute, fragment dropped"),
        pytest.param("//o/b", "http://o/b", id="another host"),
        pytest.param("http://u:p@o/b", "http://o/b", id="user information dropped"),
    ],
)
def test_references_are_resolved(reference: str, url: str) -> None:
    assert resolve("http://h/s/1/metadata", reference) == url


@pytest.mark.parametrize("reference", ["file:///etc/passwd", "data:,x", "javascript:1"])
def test_a_reference_that_cannot_be_fetched_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match="cannot be fetched"):
        resolve("http://h/s/1/metadata", reference)


def test_messages_show_neither_user_information_nor_query() -> None:
    assert shown("https://me:secret@h/x?token=t#f") == "https://h/x"


@given(st.text())
def test_any_text_is_a_root_or_a_clear_error(text: str) -> None:
    try:
        root = parse_root(text)
    except ConfigError:
        return
    assert root.url.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("text", "root"),
    [
        pytest.param("dicom://PACS@h", DimseRoot("h", 104, "PACS"), id="plain"),
        pytest.param("dicom://Pacs@h:4242", DimseRoot("h", 4242, "Pacs"), id="port, and case"),
        pytest.param("dicoms://P@h", DimseRoot("h", 2762, "P", is_tls=True), id="TLS"),
        pytest.param("dicom://P@[::1]:11112", DimseRoot("::1", 11112, "P"), id="IPv6"),
        pytest.param("dicom://MY%20PACS@h", DimseRoot("h", 104, "MY PACS"), id="a blank"),
        pytest.param(
            "dicom://P@h?calling=ME&retrieve=move",
            DimseRoot("h", 104, "P", "ME", retrieves_by_move=True),
            id="who calls, and how to retrieve",
        ),
    ],
)
def test_a_dimse_source_is_read_as_people_write_it(text: str, root: DimseRoot) -> None:
    assert is_dimse(text)
    assert parse_dimse_root(text) == root
    again = parse_dimse_root(root.url)
    assert (again.host, again.port, again.called_ae) == (root.host, root.port, root.called_ae)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("http://P@h", "not a URL of a DIMSE", id="another scheme"),
        pytest.param("dicom://h:104", "no called AE title", id="no AE title"),
        pytest.param("dicom://me:secret@h", "no called AE title", id="a password"),
        pytest.param("dicom://P@", "no host", id="no host"),
        pytest.param("dicom://P@h:x", "not a URL", id="no port"),
        pytest.param("dicom://P@h?retrieve=push", "retrieve=push", id="another way"),
        pytest.param("dicom://P@h?called=X", "'called'", id="an unknown parameter"),
        pytest.param("dicom://P@h?calling", "not a URL", id="a parameter without a value"),
        pytest.param("dicom://P@h/studies", "unknown", id="a path"),
    ],
)
def test_what_is_no_dimse_source_is_refused_with_an_example(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_dimse_root(text)
    assert "dicom://CALLED_AE@host:port" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        pytest.param(" DICOM://A@h ", "dicom", id="with blanks"),
        pytest.param("1.2.3", "", id="none"),
        pytest.param("http://[::1/x", "", id="no URL"),
    ],
)
def test_a_scheme_is_read_from_anything(text: str, scheme: str) -> None:
    assert scheme_of(text) == scheme
    assert is_dimse(text) == (scheme == "dicom")
