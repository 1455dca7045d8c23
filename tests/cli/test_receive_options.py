"""Each option of dcmrecv is understood by both of its spellings, and each of ours."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from asyncdicom.cli.receive import command
from asyncdicom.cli.receive_options import GROUPS

if TYPE_CHECKING:
    from pathlib import Path

# The manual page of dcmrecv 3.6.8: short spelling, long name, values that are valid.
DCMRECV = [
    *[("-q", "--quiet", []), ("-v", "--verbose", []), ("-d", "--debug", [])],
    *[("-ll", "--log-level", ["info"]), ("-lc", "--log-config", ["logging.toml"])],
    ("+v", "--verbose-pc", []),
    *[("-xf", "--config-file", ["storescp.cfg", "Default"]), ("-uca", "--use-called-aetitle", [])],
    *[("-aet", "--aetitle", ["ME"]), ("-ta", "--acse-timeout", ["5"])],
    *[("-td", "--dimse-timeout", ["7"]), ("-pdu", "--max-pdu", ["4096"])],
    *[("-dhl", "--disable-host-lookup", []), ("-tls", "--disable-tls", [])],
    *[("+tls", "--enable-tls", ["key.pem", "cert.pem"]), ("+ps", "--std-passwd", [])],
    *[("+pw", "--use-passwd", ["secret"]), ("-pw", "--null-passwd", [])],
    *[("-pem", "--pem-keys", []), ("-der", "--der-keys", [])],
    *[("+cf", "--add-cert-file", ["ca.pem"]), ("+cd", "--add-cert-dir", ["ca"])],
    *[("+crl", "--add-crl-file", ["crl.pem"]), ("+crv", "--enable-crl-vfy", [])],
    *[("+cra", "--enable-crl-all", []), ("+pg", "--profile-8996", [])],
    *[("+pm", "--profile-8996-mod", []), ("+py", "--profile-bcp195-nd", [])],
    *[("+px", "--profile-bcp195", []), ("+pz", "--profile-bcp195-ex", [])],
    *[("+pb", "--profile-basic", []), ("+pa", "--profile-aes", [])],
    *[("+pn", "--profile-null", []), ("+cs", "--cipher", ["SUITE"])],
    *[("+dp", "--dhparam", ["dh.pem"]), ("--no-sni", "--no-sni", [])],
    *[("--expect-sni", "--expect-sni", ["pacs"]), ("+rs", "--seed", ["seed"])],
    *[("+ws", "--write-seed", []), ("+wf", "--write-seed-file", ["seed"])],
    *[("-rc", "--require-peer-cert", []), ("-vc", "--verify-peer-cert", [])],
    *[("-ic", "--ignore-peer-cert", []), ("-od", "--output-directory", ["in"])],
    *[("-s", "--no-subdir", []), ("+ssd", "--series-date-subdir", [])],
    *[("+fd", "--default-filenames", []), ("+fu", "--unique-filenames", [])],
    *[("+fsu", "--short-unique-names", []), ("+fst", "--system-time-names", [])],
    *[("-fe", "--filename-extension", [".dcm"]), ("-B", "--normal", [])],
    *[("+B", "--bit-preserving", []), ("--ignore", "--ignore", [])],
    ("--arguments", "--arguments", []),
    *[("-i4", "--ipv4", []), ("-i6", "--ipv6", []), ("-i0", "--ip-auto", [])],  # 3.7.0
]


def parsed(*words: str) -> dict[str, Any]:
    return command.make_context("receive", ["11112", *words]).params


def name_of(long_name: str) -> str:
    return long_name.strip("-").replace("-", "_")


def value_of(name: str, values: list[str]) -> Any:
    if not values:
        return True
    value: Any = tuple(values) if len(values) > 1 else values[0]
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return (
        (value,) if name in {"add_cert_file", "add_cert_dir", "add_crl_file", "cipher"} else value
    )


@pytest.mark.parametrize(
    ("short", "long_name", "values"), DCMRECV, ids=[long_name for _, long_name, _ in DCMRECV]
)
def test_both_spellings_of_dcmrecv_set_the_option(
    short: str, long_name: str, values: list[str]
) -> None:
    name = name_of(long_name)
    before = parsed()[name]
    for spelling in (short, long_name):
        assert parsed(spelling, *values)[name] == value_of(name, values) != before


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_of_options_that_exclude_each_other_the_rightmost_counts(group: tuple[str, ...]) -> None:
    values = {long_name: values for _, long_name, values in DCMRECV} | {
        "--extension": [".x"],
        "--host": ["::1"],
    }
    for last in group:
        earlier = [word for one in group if one != last for word in (one, *values[one])]
        params = parsed(*earlier, last, *values[last])
        assert {one for one in group if params[name_of(one)]} == {last}


def test_the_command_line_wins_over_the_environment_in_a_group() -> None:
    variables = {"ASYNCDICOM_RECEIVE_UNIQUE_FILENAMES": "1", "ASYNCDICOM_RECEIVE_AETITLE": "YOU"}
    with CliRunner().isolation(env=variables):
        assert parsed()["unique_filenames"]
        assert parsed()["aetitle"] == "YOU"
        params = parsed("+fst", "-uca")
    assert (params["unique_filenames"], params["system_time_names"]) == (False, True)
    assert (params["aetitle"], params["use_called_aetitle"]) == (None, True)


def test_every_option_can_be_set_from_the_environment() -> None:
    without = {"arguments", "version", "list_ciphers", "list_profiles"}
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert {option.name for option in options if option.envvar is None} == without
    for option in options:
        if option.envvar is not None:
            longs = [one.strip("-").replace("-", "_").upper() for one in option.opts]
            assert option.envvar in {f"ASYNCDICOM_RECEIVE_{one}" for one in longs}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["x"], "PORT", id="no port"),
        pytest.param(["65536"], "PORT", id="port too large"),
        pytest.param(["-1"], "-1", id="port below 0"),
        pytest.param(["1", "2"], "unexpected extra argument", id="two ports"),
        pytest.param(["-v"], "PORT", id="port is missing"),
        pytest.param(["1", "--nope"], "--nope", id="unknown option"),
        pytest.param(["1", "+nope"], "+n", id="unknown option of DCMTK's kind"),
        pytest.param(["1", "-pdu", "4095"], "--max-pdu", id="PDU too short"),
        pytest.param(["1", "-pdu", "131073"], "--max-pdu", id="PDU too long"),
        pytest.param(["1", "-ta", "0"], "--acse-timeout", id="no time"),
        pytest.param(["1", "-td", "x"], "--dimse-timeout", id="no number"),
        pytest.param(["1", "--drain-timeout", "nan"], "--drain-timeout", id="no time at all"),
        pytest.param(["1", "--study-idle", "nan"], "--study-idle", id="another one"),
        pytest.param(["1", "-ll", "loud"], "--log-level", id="unknown level"),
        pytest.param(["1", "-aet"], "--aetitle", id="value is missing"),
        pytest.param(["1", "-xf", "file"], "--config-file", id="one value of two"),
        pytest.param(["1", "--durability", "eternal"], "--durability", id="unknown durability"),
        pytest.param(["@/nonexistent/words"], "/nonexistent/words", id="no command file"),
    ],
)
def test_wrong_syntax_ends_with_1_and_names_the_culprit(words: list[str], message: str) -> None:
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 1
    assert message in done.output


def test_command_files_are_part_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text('-aet "MY SCP" +fu +B')
    params = parsed(f"@{file}", "+fd")
    assert (params["aetitle"], params["bit_preserving"]) == ("MY SCP", True)
    assert (params["default_filenames"], params["unique_filenames"]) == (True, False)


@pytest.mark.parametrize("words", [[], ["--help"], ["11112", "-v", "--help"]], ids=" ".join)
def test_help_comes_by_itself_and_with_any_other_option(words: list[str]) -> None:
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")
    for heading in ("General:", "Network:", "TLS:", "Output:", "Events:", "Examples:"):
        assert heading in done.output


def test_help_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; from asyncdicom.cli.app import main\ntry: main(['receive', '--help'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert not imported & {"asyncio", "uvloop", "ssl", "orjson", "rich", "pydicom", "pynetdicom"}
    assert not any(name.startswith("asyncdicom.receiver") for name in imported)


def test_version_needs_no_port() -> None:
    done = CliRunner().invoke(command, ["--version"])
    assert done.exit_code == 0
    assert done.output.startswith("asyncdicom receive, version ")


@pytest.mark.parametrize("spelling", ["+cc", "--list-ciphers"])
def test_cipher_suites_are_listed(spelling: str) -> None:
    done = CliRunner().invoke(command, [spelling])
    assert done.exit_code == 0
    assert "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 (TLS 1.2)" in done.output.splitlines()


@pytest.mark.parametrize("spelling", ["+ph", "--list-profiles"])
def test_tls_profiles_are_listed_with_what_is_wrong_with_them(spelling: str) -> None:
    done = CliRunner().invoke(command, [spelling])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert len(lines) == 8
    assert lines[0] == "+pg --profile-8996: BCP 195 RFC 8996: TLS 1.2 and 1.3 (default)."
    (null,) = (line for line in lines if line.startswith("+pn "))
    assert "does not encrypt" in null


@pytest.mark.parametrize(
    ("password", "shown"),
    [
        pytest.param(["+pw", "secret"], "'--use-passwd' '<password>'", id="two words"),
        pytest.param(["+pw=secret"], "'<password>'", id="one word"),
    ],
)
def test_arguments_are_shown_as_they_are_understood_but_the_password(
    password: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed("--arguments", "+fsu", "-aet", "ME", *password)
    assert capsys.readouterr().err == (
        f"calling 'asyncdicom receive' with {5 + len(password)} arguments: '11112' '--arguments' "
        f"'--short-unique-names' '--aetitle' 'ME' {shown}\n"
    )
