"""What strangers read is true: commands parse and run, tables agree with the code."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click
import pytest
from click.testing import CliRunner

from asyncdicom.cli import exit_codes, receive_exit_codes
from asyncdicom.cli.app import COMMANDS, application
from asyncdicom.cli.mock import archive_of, server_of
from asyncdicom.mock import S3Server
from asyncdicom.mock.dimse import DimseServer
from tests.support.cod import CodObjects
from tests.support.dicom import ct
from tests.support.documents import (
    PROJECT,
    README,
    Block,
    blocks_of,
    code_spans,
    command_named,
    command_words,
    option_names,
    parse_command,
    shell_lines,
    table_of,
)
from tests.support.gcs_scripted import ScriptedGcs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import IntEnum
    from types import ModuleType

    from asyncdicom.mock import MockServer

CHANGELOG = PROJECT / "CHANGELOG.md"
DOCUMENTS = [README, CHANGELOG, PROJECT / "benchmarks" / "README.md"]
STUDY = "1.2.826.0.1.3680043.8.498.1.1000001"

README_COMMANDS = [
    words
    for block in blocks_of(README, "sh", "console")
    for line, _ in shell_lines(block)
    for words in command_words(line)
]
RUNNABLE = blocks_of(README, mark="runnable")


def leaves_of(command: click.Command) -> list[click.Command]:
    """Return a command, or those of a group."""
    return list(command.commands.values()) if isinstance(command, click.Group) else [command]


LEAVES = [leaf for name in COMMANDS for leaf in leaves_of(command_named(name))]


@pytest.fixture
def anyio_backend() -> str:
    """Run once: the commands choose the loop of their own processes."""
    return "asyncio"


def examples_of(command: click.Command) -> list[list[str]]:
    """Return the arguments of each example below the help of a command."""
    _, _, examples = (command.epilog or "").partition("Examples:\n")
    lines = shell_lines(Block("sh", "", examples.partition("\b")[0]))
    return [words for line, _ in lines for words in command_words(line)]


@pytest.mark.parametrize("words", README_COMMANDS, ids=shlex.join)
def test_each_command_of_the_readme_parses(words: list[str]) -> None:
    parse_command(words)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_shows_each_command(name: str) -> None:
    assert any(words[0] == name for words in README_COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_ends_with_examples_that_parse(name: str) -> None:
    examples = examples_of(command_named(name))
    assert any(name in words for words in examples)
    for words in examples:
        parse_command(words)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        pytest.param(command, parameter, id=f"{command.name} {parameter.opts[-1]}")
        for command in LEAVES
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ],
)
def test_each_option_is_explained(command: click.Command, option: click.Option) -> None:
    assert option.help
    assert option.help.endswith(".")


def test_the_list_of_commands_says_what_each_command_says_itself() -> None:
    shown = CliRunner().invoke(application, ["--help"]).output
    assert all(name in shown for name in COMMANDS)
    assert all(command_named(name).help for name in COMMANDS)


@pytest.mark.parametrize(
    "heading",
    [
        pytest.param("dicomweb-dump"),
        pytest.param("dicomweb_client"),
        pytest.param("odil"),
        pytest.param("DCMTK"),
        pytest.param("dcmrecv, storescp"),
        pytest.param("idc-index"),
        pytest.param("s5cmd"),
        pytest.param("cod-retrieve"),
    ],
)
def test_what_the_mapping_tables_name_exists(heading: str) -> None:
    for _theirs, ours, note in table_of(README, heading):
        for span in code_spans(ours):
            assert_exists(span)
        for span in code_spans(note):
            if span.split()[0] in COMMANDS:
                assert_exists(span)


def assert_exists(span: str) -> None:
    """Find the options of a span such as `dump --only frames -m`."""
    first, *rest = span.split()
    named = [word for word in rest if word.startswith("-")]
    if first in COMMANDS:
        command = command_named(first)
        if isinstance(command, click.Group) and rest:
            command = command.commands[rest[0]]
        assert set(named) <= option_names(command), span
    else:
        assert first in option_names(application), span


DICOMWEB_DUMP_OPTIONS = (
    "--version -w --wadoRsRootUrl -s --studyUid -o --outputFolder -m --stripMultiPartMimeWrapper "
    "-q --quiet -i -c --concurrency -a --abort -r --retry -z --authorization -h --help"
)
DICOMWEB_CLIENT_OPTIONS = (
    "-v --verbosity -u --user -p --password --ca --cert --bearer-token --url --chunk-size --filter "
    "--field --limit --offset --fuzzy --prettify --dicomize --study --series --save --output-dir "
    "--media-type --numbers --show --uri"
)


ODIL_OPTIONS = (
    "-d --directory -I --iso-9660 -l --layout -D --dicomdir -p --patient-key -S --study-key "
    "-s --series-key -i --image-key -v --verbosity -u --decode-uids -H --print-header -h --help "
    "get find echo print dicomdir store transcode"
)
DCMTK_OPTIONS = (
    "-k --key -P --patient -S --study -O --psonly -W --worklist -aet --aetitle -aec --call "
    "-aem --move +P --port --no-port -pi --pending-ignore -pr --pending-read -ac --access-full "
    "+ac --access-control -to --timeout -ts --socket-timeout -ta --acse-timeout -td "
    "--dimse-timeout -pdu --max-pdu -dhl --disable-host-lookup --repeat --abort --cancel -od "
    "--output-directory +B --bit-preserving -B --normal --ignore -X --extract -Xx --extract-xml "
    "-Xs --extract-xml-single -Xlo --limit-output +dc --enable-correction -dc "
    "--disable-correction +sr --show-responses -sr --hide-responses +tls --enable-tls +tla "
    "--anonymous-tls -tls --disable-tls +ps --std-passwd +pw --use-passwd -pw --null-passwd "
    "-pem --pem-keys -der --der-keys +cf --add-cert-file +cd --add-cert-dir +crl --add-crl-file "
    "+crv --enable-crl-vfy +cra --enable-crl-all +cc --list-ciphers +cs --cipher +rs --seed +ws "
    "--write-seed +wf --write-seed-file -rc --require-peer-cert -ic --ignore-peer-cert -q "
    "--quiet -v --verbose +v --verbose-pc -d --debug -ll --log-level -lc --log-config "
    "--arguments -h --help --version -up +u -u +cl"
)
DCMRECV_OPTIONS = (
    "-h --help --version --arguments -q --quiet -v --verbose -d --debug -ll --log-level -lc "
    "--log-config +v --verbose-pc -xf --config-file -uca --use-called-aetitle -aet --aetitle -ta "
    "--acse-timeout -td --dimse-timeout -pdu --max-pdu -dhl --disable-host-lookup -tls "
    "--disable-tls +tls --enable-tls +ps --std-passwd +pw --use-passwd -pw --null-passwd -pem "
    "--pem-keys -der --der-keys +cf --add-cert-file +cd --add-cert-dir +crl --add-crl-file +crv "
    "--enable-crl-vfy +cra --enable-crl-all +pg --profile-8996 +pm --profile-8996-mod +py "
    "--profile-bcp195-nd +px --profile-bcp195 +pz --profile-bcp195-ex +pb --profile-basic +pa "
    "--profile-aes +pn --profile-null +cc --list-ciphers +cs --cipher +dp --dhparam --no-sni "
    "--expect-sni +rs --seed +ws --write-seed +wf --write-seed-file -rc --require-peer-cert -vc "
    "--verify-peer-cert -ic --ignore-peer-cert -od --output-directory -s --no-subdir +ssd "
    "--series-date-subdir +fd --default-filenames +fu --unique-filenames +fsu "
    "--short-unique-names +fst --system-time-names -fe --filename-extension -B --normal +B "
    "--bit-preserving --ignore -i4 --ipv4 -i6 --ipv6 -i0 --ip-auto +ph --list-profiles"
)
STORESCP_OPTIONS = (
    "--single-process --fork +xi +xa -ac --access-full +ac --access-control -id --inetd -ts "
    "--socket-timeout --refuse --reject --sleep-after --sleep-during --abort-after "
    "--abort-during -pm --promiscuous -up --uid-padding +F -F +t= +td +u -u +g= +g -g +e -e -p "
    "+p -uc +uc +cl -ss --sort-conc-studies -su --sort-on-study-uid -sp --sort-on-patientname -uf "
    "+uf -tn --timenames -xcr --exec-on-reception -xcs --exec-on-eostudy -rns "
    "--rename-on-eostudy -tos --eostudy-timeout -xs --exec-sync"
)

COD_RETRIEVE_NAMES = (
    "initDirectory() initBucket(url) getStats(uids) download(uids) job.start() totalSeriesCount "
    "totalSavedSeriesCount totalSizeBytes totalSavedSizeBytes onProgress({url, onDownload({url, "
    "onExtract({url, onSave({url, onComplete({files}) onError({url,"
)


IDC_INDEX_OPTIONS = (
    "download download-from-selection download-from-manifest --manifest-file --download-dir "
    "--dir-template --collection-id --patient-id --study-instance-uid --series-instance-uid "
    "--crdc-series-uuid --analysis-result-id --analysis-results --dry-run --quiet --log-level "
    "--show-progress-bar --use-s5cmd-sync --validate-manifest"
)
S5CMD_OPTIONS = (
    "cp sync ls du cat run --credentials-file --dry-run --endpoint-url --install-completion --json "
    "--log --no-sign-request --no-verify-ssl --numworkers --profile --request-payer -r "
    "--retry-count --stat --use-list-objects-v1 -f --flatten -n --no-clobber -s --if-size-differ "
    "-u --if-source-newer --version-id --show-progress --no-follow-symlinks --storage-class -c "
    "--concurrency -p --part-size --metadata --metadata-directive --sse --sse-kms-key-id --acl "
    "--cache-control --expires --force-glacier-transfer --ignore-glacier-warnings "
    "--source-region --destination-region --exclude --include --raw --content-type "
    "--content-encoding --content-disposition --delete --size-only --exit-on-error -e --etag -H "
    "--humanize --all-versions --show-fullpath -g --group"
)


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        pytest.param("idc-index", IDC_INDEX_OPTIONS, id="idc"),
        pytest.param("s5cmd", S5CMD_OPTIONS, id="s5cmd"),
        pytest.param("odil", ODIL_OPTIONS, id="odil"),
        pytest.param("dcmrecv, storescp", DCMRECV_OPTIONS, id="dcmrecv"),
        pytest.param("dcmrecv, storescp", STORESCP_OPTIONS, id="storescp"),
        pytest.param("DCMTK", DCMTK_OPTIONS, id="getscu, movescu and findscu"),
        pytest.param("dicomweb-dump", DICOMWEB_DUMP_OPTIONS, id="dicomweb-dump"),
        pytest.param("dicomweb_client", DICOMWEB_CLIENT_OPTIONS, id="dicomweb_client"),
        pytest.param("cod-retrieve", COD_RETRIEVE_NAMES, id="cod-retrieve"),
    ],
)
def test_the_mapping_tables_leave_no_option_out(heading: str, options: str) -> None:
    theirs = " ".join(row[0] for row in table_of(README, heading))
    mapped = {word for span in code_spans(theirs) for word in span.split()}
    assert set(options.split()) <= mapped


def test_dump_takes_each_option_of_dicomweb_dump() -> None:
    assert set(DICOMWEB_DUMP_OPTIONS.split()) - {"--version"} <= option_names(command_named("dump"))


def test_each_option_that_prose_names_exists() -> None:
    prose = "\n".join(
        line
        for line in re.sub(
            r"^```.*?^```$", "", README.read_text(), flags=re.MULTILINE | re.DOTALL
        ).splitlines()
        if not line.startswith("|")
    )
    known = {name for command in LEAVES for name in option_names(command)}
    words = [word for span in code_spans(prose) for word in span.split()]
    named = {word for word in words if re.fullmatch(r"--?[a-zA-Z][\w-]*", word)}
    assert named
    assert named <= known | option_names(application)


def sentences_of_exit_codes(module: ModuleType) -> Iterator[tuple[int, str]]:
    """Yield each code with the sentence below it in the source."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    for member, sentence in zip(body[1::2], body[2::2], strict=True):
        assert isinstance(member, ast.Assign)
        assert isinstance(sentence, ast.Expr)
        yield ast.literal_eval(member.value), ast.literal_eval(sentence.value)


@pytest.mark.parametrize(
    ("heading", "module", "codes"),
    [
        pytest.param("code", exit_codes, exit_codes.ExitCode, id="commands"),
        pytest.param(
            "ends with", receive_exit_codes, receive_exit_codes.ReceiveExitCode, id="receive"
        ),
    ],
)
def test_the_tables_of_exit_codes_are_those_of_the_program(
    heading: str, module: ModuleType, codes: type[IntEnum]
) -> None:
    table = [(int(code), meaning) for code, meaning in table_of(README, heading)]
    assert table == list(sentences_of_exit_codes(module))
    assert [code for code, _ in table] == sorted(codes)


UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "bytes": 1, "s": 1, "times": 1, "": 1}


@pytest.mark.parametrize("row", table_of(README, "what"), ids=lambda row: str(row[0]))
def test_the_limits_are_those_of_the_code(row: list[str]) -> None:
    _, limit, where = row
    number, _, unit = limit.partition(" ")
    assert value_at(where.strip("`")) == float(number.replace(",", "")) * UNITS[unit]


def value_at(place: str) -> Any:
    """Return a constant, or the default of a field (`protocol.multipart.MultipartLimits.x`)."""
    *modules, name = place.split(".")
    parent = modules.pop() if modules[-1][0].isupper() else None
    module = import_module(".".join(["asyncdicom", *modules]))
    if parent is None:
        return getattr(module, name)
    return getattr(module, parent).__dataclass_fields__[name].default


def test_the_readme_mock_line_is_what_its_examples_run_against() -> None:
    archive = archive_of(None, mock_parameters())
    assert archive.studies[0].study_instance_uid == STUDY
    assert f"STUDY={STUDY}" in README.read_text(encoding="utf-8")


def mock_parameters() -> dict[str, Any]:
    """Return the values of the first `asyncdicom mock` of the README, on any free port."""
    words = next(words for words in README_COMMANDS if words[0] == "mock")
    return {**parse_command(words).params, "port": 0, "dimse_port": None}


def mock_of_the_readme() -> MockServer:
    given = mock_parameters()
    return server_of(archive_of(None, given), given)


def environment_for(server: MockServer, peer: DimseServer | None) -> dict[str, str]:
    programs = Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    url = f"dicom://MOCK@127.0.0.1:{peer.port}" if peer else ""
    return {**os.environ, "PATH": path, "ROOT": server.url, "STUDY": STUDY, "PEER": url}


async def run_line(
    line: str, server: MockServer, folder: Path, peer: DimseServer | None = None
) -> tuple[int, list[str]]:
    done = await anyio.run_process(
        ["sh", "-c", f"exec 2>&1\n{line}"],
        cwd=folder,
        env=environment_for(server, peer),
        check=False,
    )
    return done.returncode, done.stdout.decode().splitlines()


def as_pattern(line: str) -> str:
    """Let `…` stand for anything, and durations differ."""
    pattern = re.escape(line).replace("…", ".*")
    return re.sub(r"in\\ \d+\\\.\d\\ s", r"in \\d+\\.\\d s", pattern)


@pytest.mark.anyio
@pytest.mark.timeout(240)
@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: str(block.language))
async def test_what_is_marked_as_runnable_runs_and_prints_what_is_shown(
    block: Block, tmp_path: Path
) -> None:
    archive = archive_of(None, mock_parameters())
    async with mock_of_the_readme() as server, DimseServer(archive) as peer:
        for line, expected in shell_lines(block):
            code, printed = await run_line(line, server, tmp_path, peer)
            assert code == 0, (line, printed)
            if block.language == "console":
                assert len(printed) == len(expected), (line, printed)
                for shown, seen in zip(expected, printed, strict=True):
                    assert re.fullmatch(as_pattern(shown), seen), (line, shown, seen)


@pytest.mark.anyio
async def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = blocks_of(README, mark="library")
    await anyio.Path(tmp_path / "example.py").write_text(block.text, encoding="utf-8")
    async with mock_of_the_readme() as server:
        code, printed = await run_line("python -W error example.py", server, tmp_path)
    assert code == 0, printed
    assert printed[0] == STUDY
    assert printed[-1].startswith("40 stored · 0 missing · 0 corrupt · ")
    assert len(printed) == 3 + 40 + 1


@pytest.fixture
def cod_environment() -> Iterator[dict[str, str]]:
    objects = CodObjects()
    series = objects.add_series([ct(number=1), ct(number=2)])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with ScriptedGcs(objects, token="sesame") as gcs:
        url = f"cod+{gcs.url}/bucket/p?token=sesame"
        yield {**os.environ, "PATH": programs, "COD": url, "STUDY": series.study}


@pytest.mark.anyio
@pytest.mark.timeout(180)
async def test_the_examples_for_stores_run(cod_environment: dict[str, str], tmp_path: Path) -> None:
    (block,) = blocks_of(README, mark="cod")
    for line, _ in shell_lines(block):
        done = await anyio.run_process(
            ["sh", "-c", f"exec 2>&1\n{line}"], cwd=tmp_path, env=cod_environment, check=False
        )
        assert done.returncode == 0, (line, done.stdout.decode())
    (python,) = blocks_of(README, mark="cod_library")
    await anyio.Path(tmp_path / "example.py").write_text(python.text, encoding="utf-8")
    command = [sys.executable, "-W", "error", "example.py"]
    done = await anyio.run_process(command, cwd=tmp_path, env=cod_environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith("1 of 1 series saved")


@pytest.mark.anyio
async def test_the_example_for_buckets_runs(tmp_path: Path) -> None:
    (block,) = blocks_of(README, mark="objects_library")
    await anyio.Path(tmp_path / "example.py").write_text(block.text, encoding="utf-8")
    async with S3Server(archive_of(None, mock_parameters())) as server:
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        place = {"BUCKET": server.bucket_url, "ENDPOINT": server.url, "PATH": programs}
        command = [sys.executable, "-W", "error", "example.py"]
        done = await anyio.run_process(
            command, cwd=tmp_path, env={**os.environ, **place}, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    *listed, ended, proven = done.stdout.decode().splitlines()
    assert ended.startswith(f"{len(listed)} stored · 0 missing · 0 corrupt · ")
    assert f" · {len(listed)} skipped (verified) · " in proven


def shape_of(value: Any) -> Any:
    """Return the keys of nested objects; those of headers are the server's."""
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    if isinstance(value, dict):
        return {key: None if key == "headers" else shape_of(value[key]) for key in value}
    return None


@pytest.mark.anyio
async def test_the_record_in_the_readme_has_the_keys_of_a_real_one(tmp_path: Path) -> None:
    (shown,) = blocks_of(README, mark="record")
    async with mock_of_the_readme() as server:
        command = "asyncdicom dump -w $ROOT -s $STUDY -o out --only frames -q"
        await run_line(command, server, tmp_path)
        code, printed = await run_line(
            "cat out/*/series/*/instances/*.1000001/frames/1.dump.json", server, tmp_path
        )
    assert code == 0
    record = json.loads("".join(printed))
    assert list(shape_of(record).items()) == list(shape_of(json.loads(shown.text)).items())


def test_the_configuration_in_the_readme_is_understood(tmp_path: Path) -> None:
    (block,) = blocks_of(README, mark="configuration")
    file = tmp_path / "config.toml"
    file.write_text(block.text, encoding="utf-8")
    done = CliRunner().invoke(application, ["--config", str(file), "config", "show", "dump"])
    origins = {tuple(line.split()) for line in done.output.splitlines()}
    assert origins >= {
        ("--concurrency", "16", "file"),
        ("--bandwidth", "20M", "file"),
        ("--retry", "5", "file"),
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in anchors
        elif not link.startswith("https://"):
            assert (document.parent / link).exists(), link


REGISTRY = re.compile(r"index[-]url|registry|pypi\.|npmjs|pythonhosted", re.IGNORECASE)
ABSOLUTE_PATH = re.compile(r"(?<![\w:/.…~\]}-])/[a-z]\w*/[\w./-]*")
ALLOWED_PATHS = {"/dev/shm"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_document_names_a_machine(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert REGISTRY.findall(text) == []
    assert set(ABSOLUTE_PATH.findall(text)) <= ALLOWED_PATHS


def test_no_file_that_installs_something_names_a_registry() -> None:
    files = [
        PROJECT / name for name in ("pyproject.toml", "Makefile", "constraints.txt", ".ci/run")
    ]
    files += (PROJECT / "docker").iterdir()
    named = {path.name: REGISTRY.findall(path.read_text(encoding="utf-8")) for path in files}
    assert not any(named.values()), named


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    titles = re.findall(r"^(#+) (.+)$", CHANGELOG.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert titles[0] == ("#", "Changelog")
    assert titles[1] == ("##", "[Unreleased]")
    assert {title for level, title in titles if level == "###"} <= sections
