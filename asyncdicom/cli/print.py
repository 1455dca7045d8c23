"""`asyncdicom print`: what a DICOM file says, for eyes or as DICOM JSON."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.storage.dicom_source import DicomFile

__all__ = ["command"]

EPILOG = """\b
FILE may be - for stdin. Several files are headed by their names.
\b
Formats: text (the form of odil) tells binary values by their size alone: pixel
data is not read. json is the DICOM JSON Model, one object per line and file;
binary values above 4 KiB are pointed at (BulkDataURI file://FILE?offset=&length=).
\b
Exit codes: 0 all shown, 1 a file is missing, damaged or no DICOM file (it is
named, and the others are shown), 2 usage.
\b
Examples:
  asyncdicom print out/1.2.3.dcm
  asyncdicom print -H -u out/*.dcm
  asyncdicom print --format json out/1.2.3.dcm | jq '."00100010".Value'
"""


@click.command("print", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@option("-H", "--print-header", is_flag=True, help="Show the file meta information (group 0002).")
@option("-u", "--decode-uids", is_flag=True, help="Show names in the place of UIDs (text).")
@option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar=None,
    help="How to write.",
)
def command(files: tuple[str, ...], print_header: bool, decode_uids: bool, form: str) -> int:  # noqa: FBT001 -- click gives parameters by name
    """Show what DICOM files say, element by element."""
    code = ExitCode.COMPLETE
    for number, name in enumerate(files):
        if form == "text" and len(files) > 1:
            _head(name, is_first=number == 0)
        problem = _print(name, form, {"header": print_header, "names": decode_uids})
        sys.stdout.flush()
        if problem:
            click.echo(f"asyncdicom: {_shown(name)}: {problem}", err=True)
            code = ExitCode.INCOMPLETE
    return code


def _print(name: str, form: str, parts: dict[str, bool]) -> str:
    """Show a file; return what is wrong with it, or an empty string."""
    from asyncdicom.errors import FetchError, StorageError  # noqa: PLC0415 -- help must not pay

    try:
        with _opened(name) as (file, path):
            if form == "json":
                _write_json(file, path, parts)
            else:
                _write_text(file, parts)
    except BrokenPipeError:
        raise
    except FetchError as error:
        return str(error)
    except StorageError as error:
        return error.message
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


@contextmanager
def _opened(name: str) -> Iterator[tuple[DicomFile, str | None]]:
    """Open a file; also return its absolute name, unless it has none that lasts."""
    from asyncdicom.storage.data_dictionary import vr_of  # noqa: PLC0415 -- as above
    from asyncdicom.storage.dicom_source import open_dicom_file  # noqa: PLC0415 -- as above

    with _stream_of(name) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode) and name != "-":
            raise OSError("not a file")
        if stat.S_ISREG(mode):
            with open_dicom_file(stream.fileno(), vr_of=vr_of) as file:
                yield file, None if name == "-" else os.path.abspath(name)  # noqa: PTH100 -- links stay as they were named
            return
        # A pipe cannot be read at an offset.
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.flush()
            with open_dicom_file(copy.fileno(), vr_of=vr_of) as file:
                yield file, None


@contextmanager
def _stream_of(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with open(name, "rb", buffering=0) as stream:  # noqa: PTH123 -- the name as it was given
        yield stream


def _write_text(file: DicomFile, parts: dict[str, bool]) -> None:
    from asyncdicom.cli.print_text import ShownParts, write_text  # noqa: PLC0415 -- as above

    shown = ShownParts(has_header=parts["header"], has_uid_names=parts["names"])
    write_text(file, sys.stdout.buffer, shown)


def _write_json(file: DicomFile, path: str | None, parts: dict[str, bool]) -> None:
    import orjson  # noqa: PLC0415 -- as above

    from asyncdicom.cli.print_json import json_of  # noqa: PLC0415 -- as above

    found: dict[str, Any] = json_of(file, path=path, has_header=parts["header"])
    sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))


def _head(name: str, *, is_first: bool) -> None:
    before = "" if is_first else "\n"
    sys.stdout.buffer.write(f"{before}==> {_shown(name)} <==\n".encode("utf-8", "replace"))


def _shown(name: str) -> str:
    from asyncdicom.cli.report_format import printable  # noqa: PLC0415 -- as above

    return printable(name)
