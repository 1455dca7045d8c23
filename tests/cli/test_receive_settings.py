"""Each option of `receive` reaches what the receiver is told, or is refused with a reason."""

from __future__ import annotations

import ipaddress
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncdicom.cli.receive import command
from asyncdicom.cli.receive_settings import metrics_address, names_of, receiver_settings
from asyncdicom.cli.receive_tls import acceptor_tls
from asyncdicom.errors import AsyncDicomError
from asyncdicom.model import Uid
from asyncdicom.receiver.settings import Duplicates, ReceiverSettings, StorageMode
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.templates import Instance
from asyncdicom.transports.associations.acceptor_tls import PeerCertificate, Revocation
from asyncdicom.transports.associations.tls_profiles import TlsProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.transports.associations.acceptor_tls import AcceptorTls

INSTANCE = Instance(
    Uid("1.2.3"),
    Uid("1.2"),
    Uid("1"),
    {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SeriesDate": "20200304", "PatientID": "P"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path) as opened:
        yield opened


def settings_of(words: str, folder: OutputFolder) -> ReceiverSettings:
    options = command.make_context("receive", ["11112", *words.split()]).params
    names = names_of(options, folder)
    return receiver_settings(options, names, profile=None, tls=acceptor_tls(options))


@pytest.mark.parametrize(
    ("words", "place", "value"),
    [
        pytest.param("", "server.host", "0.0.0.0", id="all addresses"),
        pytest.param("--host ::1", "server.host", "::1", id="host"),
        pytest.param("--host ::1 -i4", "server.host", "0.0.0.0", id="IPv4"),
        pytest.param("-i6", "server.host", "::", id="IPv6"),
        pytest.param("-i6", "server.is_ipv6_only", True, id="IPv6 alone"),
        pytest.param("-i6 -i0", "server.host", "::", id="both"),
        pytest.param("-i6 -i0", "server.is_ipv6_only", False, id="not IPv6 alone"),
        pytest.param("-i6 --host 127.0.0.1", "server.host", "127.0.0.1", id="the last address"),
        pytest.param("", "server.port", 11112, id="port"),
        pytest.param("--max-associations 3", "server.max_associations", 3, id="associations"),
        pytest.param("", "server.max_connections", 2048, id="connections"),
        pytest.param(
            "--max-associations 3000", "server.max_connections", 6000, id="one for each, and more"
        ),
        pytest.param("-pdu 16384", "server.max_pdu_bytes", 16384, id="PDU"),
        pytest.param("-ta 5", "server.artim_timeout_s", 5.0, id="ACSE"),
        pytest.param("", "server.idle_timeout_s", 60.0, id="DIMSE by default"),
        pytest.param("-td 7", "server.idle_timeout_s", 7.0, id="DIMSE"),
        pytest.param("", "server.tls", None, id="plain"),
        pytest.param("", "admission.called_aes", None, id="any called AE"),
        pytest.param("-aet ME", "admission.called_aes", {"ME"}, id="one called AE"),
        pytest.param("-aet ME -uca", "admission.called_aes", None, id="any again"),
        pytest.param("", "admission.calling_aes", None, id="any calling AE"),
        pytest.param(
            "--allow-calling-aet A --allow-calling-aet B",
            "admission.calling_aes",
            {"A", "B"},
            id="two calling AEs",
        ),
        pytest.param("", "admission.networks", None, id="from anywhere"),
        pytest.param(
            "--allow-from 10.1.2.3/16 --allow-from ::1",
            "admission.networks",
            (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1")),
            id="from two networks",
        ),
        pytest.param(
            "--max-associations-per-peer 2", "admission.max_associations_per_peer", 2, id="peer"
        ),
        pytest.param("", "engine", "native", id="engine by default"),
        pytest.param("--dimse-engine pynetdicom", "engine", "pynetdicom", id="engine"),
        pytest.param("--promiscuous", "is_promiscuous", True, id="promiscuous"),
        pytest.param("", "storing.mode", StorageMode.NORMAL, id="normal by default"),
        pytest.param("-B", "storing.mode", StorageMode.NORMAL, id="normal"),
        pytest.param("+B", "storing.mode", StorageMode.BIT_PRESERVING, id="bit-preserving"),
        pytest.param("+B --ignore", "storing.mode", StorageMode.IGNORE, id="ignore"),
        pytest.param("", "storing.duplicates", Duplicates.OVERWRITE, id="overwrite"),
        pytest.param("--duplicates skip", "storing.duplicates", Duplicates.SKIP, id="skip"),
        pytest.param(
            "--duplicates keep-both", "storing.duplicates", Duplicates.KEEP_BOTH, id="keep both"
        ),
        pytest.param("+fsu", "storing.duplicates", Duplicates.KEEP_BOTH, id="unique names"),
        pytest.param("--min-free 1.5G", "storing.min_free_bytes", 1_500_000_000, id="room"),
        pytest.param("--keep-doubtful", "storing.keeps_doubtful", True, id="doubtful"),
        pytest.param("-v", "storing.computes_digests", False, id="no digests"),
        pytest.param("--json", "storing.computes_digests", True, id="digests for programs"),
        pytest.param("--on-object a", "storing.computes_digests", True, id="digests for hooks"),
        pytest.param("-d", "storing.computes_digests", True, id="digests for the curious"),
        pytest.param("", "storing.collect", {}, id="nothing to collect"),
        pytest.param("+ssd", "storing.collect", {0x00080021: "SeriesDate"}, id="dates"),
        pytest.param("--on-object a", "hooks.on_object", "a", id="object"),
        pytest.param("--on-association a", "hooks.on_association", "a", id="association"),
        pytest.param("--on-study a", "hooks.on_study", "a", id="study"),
        pytest.param("--study-idle 2.5", "study_idle_s", 2.5, id="idle"),
        pytest.param("--hook-timeout 9", "hooks.timeout_s", 9.0, id="time of hooks"),
        pytest.param("--hooks-at-once 2", "hooks.max_at_once", 2, id="number of hooks"),
    ],
)
def test_an_option_reaches_the_receiver(
    words: str, place: str, value: object, folder: OutputFolder
) -> None:
    settings: Any = settings_of(words, folder)
    assert reduce(getattr, place.split("."), settings) == value


@pytest.mark.parametrize(
    ("words", "path"),
    [
        pytest.param("", "CT.1.2.3", id="as dcmrecv"),
        pytest.param("-fe .x", "CT.1.2.3.x", id="extension as it is"),
        pytest.param("--extension x", "CT.1.2.3.x", id="extension with a dot"),
        pytest.param("--extension .x", "CT.1.2.3.x", id="extension that has a dot"),
        pytest.param("--extension=", "CT.1.2.3", id="no extension"),
        pytest.param("+ssd", "data/2020/03/04/CT.1.2.3", id="date"),
        pytest.param("-l flat", "1.2.3.dcm", id="flat"),
        pytest.param("-l flat --extension=", "1.2.3", id="flat without extension"),
        pytest.param("-l {PatientID} -I", "P/IM000001", id="template and ISO 9660"),
    ],
)
def test_names_are_as_the_options_say(words: str, path: str, folder: OutputFolder) -> None:
    assert settings_of(words, folder).storing.naming.path_for(INSTANCE) == path


@pytest.mark.parametrize(
    ("words", "hold_values"),
    [
        *[("", False), ("+ssd", False), ("-l flat", False), ("-I", False)],
        *[("-l {StudyInstanceUID}/x", False), ("-l tree", True), ("-l %PatientID", True)],
    ],
)
def test_it_is_known_whether_paths_may_name_patients(
    words: str, hold_values: object, folder: OutputFolder
) -> None:
    options = command.make_context("receive", ["11112", *words.split()]).params
    assert names_of(options, folder).hold_values is hold_values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("-aet THIS_IS_TOO_LONG_X", "own AE title", id="AE title too long"),
        pytest.param("--allow-calling-aet a\\b", "calling AE title", id="no AE title"),
        pytest.param("--allow-from 10.1.0.0/99", "--allow-from", id="no network"),
        pytest.param("--min-free lots", "not a size", id="no size"),
        pytest.param("--layout tree +ssd", "--series-date-subdir", id="two kinds of folders"),
        pytest.param("-I +fst", "--system-time-names", id="two kinds of names"),
        pytest.param("-l tree -fe x", "--filename-extension", id="two kinds of extensions"),
        pytest.param("--layout {Nope}", "Nope", id="unknown variable"),
        pytest.param("--layout flat --extension /x", "extension", id="no extension"),
        pytest.param("--duplicates skip +fu", "--duplicates", id="nothing is a duplicate"),
        pytest.param(f"-fe {'x' * 65}", "extension", id="extension too long"),
        pytest.param("+rs seed", "--seed needs --enable-tls", id="seed without TLS"),
        pytest.param("+tls k c +ws", "need --seed", id="what is to be written?"),
        *[
            pytest.param(option, "needs --enable-tls", id=f"{option} without TLS")
            for option in (
                *("+ps", "+pw x", "-pw", "-pem", "-der", "+cf x", "+cd x", "+crl x", "+crv"),
                *("+cra", "+pg", "+pm", "+py", "+px", "+pz", "+pb", "+pa", "+pn", "+cs x"),
                *("+dp x", "--no-sni", "--expect-sni x", "+ws", "+wf x", "-rc", "-vc", "-ic"),
            )
        ],
        pytest.param("--host=", "--host: no address", id="no host"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    words: str, message: str, folder: OutputFolder
) -> None:
    with pytest.raises((click.UsageError, AsyncDicomError), match=message):
        settings_of(words, folder)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9100", ("127.0.0.1", 9100)),
        (":9100", ("127.0.0.1", 9100)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:9100", ("::1", 9100)),
    ],
)
def test_counters_have_an_address(text: str, address: tuple[str, int]) -> None:
    assert metrics_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "65536", "::1:9100", "a b:1", "http://a:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="--metrics"):
        metrics_address(text)


def tls_of(words: str, folder: OutputFolder) -> AcceptorTls:
    tls = settings_of(f"+tls key.pem cert.pem {words}", folder).server.tls
    assert tls is not None
    return tls  # type: ignore[return-value]  # -- the server takes another kind, too


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        pytest.param("", "key_file", Path("key.pem"), id="key"),
        pytest.param("-pem", "cert_file", Path("cert.pem"), id="PEM"),
        pytest.param("-der", "cert_file", Path("cert.pem"), id="DER is noticed"),
        pytest.param("+pw secret", "password", "secret", id="password"),
        pytest.param("-pw", "password", "", id="no password"),
        pytest.param("+cf a +cf b", "ca_files", (Path("a"), Path("b")), id="authorities"),
        pytest.param("+cd a", "ca_folders", (Path("a"),), id="folder of authorities"),
        pytest.param("+crl a", "crl_files", (Path("a"),), id="list"),
        pytest.param("", "revocation", Revocation.NONE, id="no list"),
        pytest.param("+crl a", "revocation", Revocation.LEAF, id="a list implies it"),
        pytest.param("+crv", "revocation", Revocation.LEAF, id="leaf"),
        pytest.param("+crv +cra", "revocation", Revocation.CHAIN, id="chain"),
        pytest.param("", "profile", TlsProfile.RFC8996, id="profile by default"),
        pytest.param("+pg", "profile", TlsProfile.RFC8996, id="+pg"),
        pytest.param("+pm", "profile", TlsProfile.RFC8996_MODIFIED, id="+pm"),
        pytest.param("+py", "profile", TlsProfile.NON_DOWNGRADING, id="+py"),
        pytest.param("+px", "profile", TlsProfile.BCP195, id="+px"),
        pytest.param("+pz", "profile", TlsProfile.EXTENDED, id="+pz"),
        pytest.param("+pb", "profile", TlsProfile.BASIC, id="+pb"),
        pytest.param("+pa", "profile", TlsProfile.AES, id="+pa"),
        pytest.param("+pn", "profile", TlsProfile.NULL, id="+pn"),
        pytest.param("+pn +pz +pg", "profile", TlsProfile.RFC8996, id="the last profile"),
        pytest.param("+cs A +cs B", "suites", ("A", "B"), id="suites"),
        pytest.param("+dp dh", "dh_file", Path("dh"), id="Diffie-Hellman"),
        pytest.param("--expect-sni x", "expected_sni", "x", id="SNI"),
        pytest.param("--expect-sni x --no-sni", "expected_sni", None, id="no SNI"),
        pytest.param("", "peer_certificate", PeerCertificate.REQUIRE, id="certificate"),
        pytest.param("-ic -rc", "peer_certificate", PeerCertificate.REQUIRE, id="-rc"),
        pytest.param("-vc", "peer_certificate", PeerCertificate.VERIFY, id="-vc"),
        pytest.param("-ic", "peer_certificate", PeerCertificate.IGNORE, id="-ic"),
    ],
)
def test_an_option_of_tls_reaches_the_receiver(
    words: str, field: str, value: object, folder: OutputFolder
) -> None:
    assert getattr(tls_of(words, folder), field) == value


def test_plain_tcp_may_be_said_last(folder: OutputFolder) -> None:
    assert settings_of("+tls k c -tls", folder).server.tls is None


@pytest.mark.parametrize("words", ["", "+ps", "+pw x +ps"])
def test_a_password_is_read_once_from_stdin(
    words: str, folder: OutputFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "typed").write_text("open sesame\nanother\n")
    password = tls_of(words, folder).password
    assert callable(password)
    with (tmp_path / "typed").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert [password(), password()] == ["open sesame"] * 2
