"""Where things are in a store, and the forms in which a person names one."""

from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.model import Uid
from asyncdicom.protocol.cod.places import (
    CodRoot,
    instance_of_member,
    is_cod,
    is_place_of,
    member_of,
    metadata_key,
    parse_cod_root,
    series_of_folder,
    series_of_tar,
    series_prefix,
    tar_key,
)

STUDY, SERIES, INSTANCE = Uid("1.2.3"), Uid("1.2.3.4"), Uid("1.2.3.4.5")
HOST = "https://my-domain.com"


@pytest.mark.parametrize(
    ("text", "root"),
    [
        pytest.param(
            "cod+https://my-domain.com/my-bucket?token=my-token",
            CodRoot("my-bucket", "dicomweb", "gs", HOST, "my-token"),
            id="no prefix",
        ),
        pytest.param(
            "cod+https://my-domain.com/my-bucket/my-prefix?token=my-token",
            CodRoot("my-bucket", "my-prefix/dicomweb", "gs", HOST, "my-token"),
            id="a prefix",
        ),
        pytest.param(
            "cod+https://my-domain.com/my-bucket/my-prefix?my-query=a&token=my-token",
            CodRoot("my-bucket", "my-prefix/dicomweb", "gs", HOST, "my-token"),
            id="another parameter",
        ),
        pytest.param(
            "cod+https://my-domain.com/my-bucket/my/prefix/parts?token=my-token",
            CodRoot("my-bucket", "my/prefix/parts/dicomweb", "gs", HOST, "my-token"),
            id="a prefix of several parts",
        ),
        pytest.param(
            "cod+https://my-domain.com/my-bucket/my-prefix/dicomweb/",
            CodRoot("my-bucket", "my-prefix/dicomweb", "gs", HOST),
            id="written out",
        ),
        pytest.param(
            "cod+http://127.0.0.1:9023/b/p?token=ya29.a%2Bb+c/d==",
            CodRoot("b", "p/dicomweb", "gs", "http://127.0.0.1:9023", "ya29.a+b+c/d=="),
            id="a token with signs",
        ),
        pytest.param(
            "cod+http://[::1]:9/b",
            CodRoot("b", "dicomweb", "gs", "http://[::1]:9"),
            id="an address of IPv6",
        ),
        pytest.param("cod+s3://b/a/p", CodRoot("b", "a/p", "s3"), id="s3"),
        pytest.param("cod+gs://b.example.org", CodRoot("b.example.org", "", "gs"), id="gs"),
    ],
)
def test_a_url_names_a_store(text: str, root: CodRoot) -> None:
    assert is_cod(text)
    assert parse_cod_root(text) == root


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://host/bucket", id="another scheme"),
        pytest.param("cod+ftp://host/bucket", id="an unknown store"),
        pytest.param("cod+https://host", id="no bucket"),
        pytest.param("cod+https:///bucket", id="no host"),
        pytest.param("cod+https://host:0/bucket", id="port 0"),
        pytest.param("cod+https://host:x/bucket", id="no port"),
        pytest.param("cod+https://u:secret@host/bucket", id="a password"),
        pytest.param("cod+https://host/bucket/../other?token=secret", id="upwards"),
        pytest.param("cod+https://host/bucket//p?token=secret", id="an empty part"),
        pytest.param("cod+https://host/buc%20ket?token=secret", id="no bucket name"),
        pytest.param("cod+https://host/bucket?token=secret%0d%0ax", id="a line break"),
        pytest.param("cod+https://host/bucket?token=", id="an empty token"),
        pytest.param("cod+gs://bucket/p?token=secret", id="a token for gs"),
    ],
)
def test_what_names_no_store_is_refused_without_its_token(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cod_root(text)
    assert "secret" not in str(caught.value)


def test_what_is_no_url_names_no_store() -> None:
    assert not is_cod("cod+https://[host/bucket")
    with pytest.raises(ConfigError):
        parse_cod_root("cod+https://[host/bucket")


def test_the_object_form_takes_its_prefix_as_it_is() -> None:
    assert tar_key(CodRoot("b"), STUDY, SERIES) == "studies/1.2.3/series/1.2.3.4.tar"
    with_prefix = tar_key(CodRoot("b", "p/dicomweb"), STUDY, SERIES)
    assert with_prefix == "p/dicomweb/studies/1.2.3/series/1.2.3.4.tar"


@pytest.mark.parametrize(
    ("root", "url"),
    [
        pytest.param(
            CodRoot("b", "p", "gs", "https://h", "secret"), "cod+https://h/b/p", id="https"
        ),
        pytest.param(CodRoot("b", "", "gs"), "cod+gs://b", id="gs"),
        pytest.param(CodRoot("b", "a/p", "s3"), "cod+s3://b/a/p", id="s3"),
    ],
)
def test_what_is_shown_never_holds_the_token(root: CodRoot, url: str) -> None:
    assert root.url == url
    assert "secret" not in repr(root)
    assert root.objects_url == f"{root.scheme}://b"


def test_keys_and_what_a_listing_shows_of_them() -> None:
    root = CodRoot("b", "dicomweb")
    prefix = series_prefix(root, STUDY)
    assert metadata_key(root, STUDY, SERIES) == f"{prefix}1.2.3.4/metadata.json"
    assert series_of_folder(prefix, f"{prefix}1.2.3.4/") == SERIES
    assert series_of_folder(prefix, f"{prefix}notes/") is None
    assert series_of_tar(prefix, tar_key(root, STUDY, SERIES)) == SERIES
    assert series_of_tar(prefix, f"{prefix}1.2.3.4.txt") is None
    assert series_of_tar(prefix, f"{prefix}x.tar") is None


def test_a_member_is_an_instance() -> None:
    assert member_of(INSTANCE) == "instances/1.2.3.4.5.dcm"
    assert instance_of_member(member_of(INSTANCE)) == INSTANCE
    assert instance_of_member("./instances/1.2.3.4.5.dcm") == INSTANCE
    assert instance_of_member("other/1.2.dcm") is None
    assert instance_of_member("instances/1..2.dcm") is None


@pytest.mark.parametrize(
    ("uri", "is_ours"),
    [
        pytest.param(
            "gs://b/p/studies/1.2.3/series/1.2.3.4.tar://instances/1.2.3.4.5.dcm", True, id="gs"
        ),
        pytest.param(
            "studies/1.2.3/series/1.2.3.4.tar://instances/1.2.3.4.5.dcm", True, id="relative"
        ),
        pytest.param(
            "gs://b/studies/1.2.3/series/1.2.9.tar://instances/1.2.3.4.5.dcm", False, id="series"
        ),
        pytest.param(
            "gs://b/studies/1.2.3/series/1.2.3.4.tar://instances/1.2.9.dcm", False, id="instance"
        ),
        pytest.param("https://evil.example/x", False, id="elsewhere"),
        pytest.param(
            "gs://b/xstudies/1.2.3/series/1.2.3.4.tar://instances/1.2.3.4.5.dcm", False, id="glued"
        ),
    ],
)
def test_a_uri_means_the_archive_of_its_series(uri: str, is_ours: bool) -> None:  # noqa: FBT001 -- a column
    assert is_place_of(uri, STUDY, SERIES, INSTANCE) is is_ours
