"""An archive on pynetdicom's own services, in a process of its own: another opinion on DIMSE.

    with running_pynetdicom_peer(folder, PynetdicomOptions(user="reader")) as peer:
        ...                               # holds the Part 10 files in `folder`

It verifies, finds, sends (C-GET, C-MOVE) and stores; each operation can be told to stall,
each instance to fail. Run as a module it is the process itself.
"""

from __future__ import annotations

import argparse
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom.dataset import Dataset

__all__ = ["PynetdicomOptions", "PynetdicomPeer", "running_pynetdicom_peer"]

ROOT = Path(__file__).parents[2]
START_DEADLINE_S = 40.0
UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


@dataclass(frozen=True, slots=True)
class PynetdicomOptions:
    """What differs between the peers that tests ask for."""

    aet: str = "ARCHIVE"
    mover_port: int = 0
    """Where the AE title `MOVER` listens, for C-MOVE."""
    user: str = ""
    """Name without which nobody is let in (PS3.7 §D.3.3.7), or empty."""
    fails: tuple[str, ...] = ()
    """SOP Instance UIDs that it cannot send."""
    cert_file: Path | None = None
    """Certificate and key in PEM: then it speaks TLS only."""
    ca_file: Path | None = None
    """Authority that has to vouch for clients, with TLS."""
    host: str = "127.0.0.1"
    """`127.0.0.1` or `::1`."""


@dataclass(frozen=True, slots=True)
class PynetdicomPeer:
    """A running peer."""

    port: int
    aet: str
    process_id: int


@contextmanager
def running_pynetdicom_peer(
    folder: Path, options: PynetdicomOptions | None = None, log: Path | None = None
) -> Iterator[PynetdicomPeer]:
    """Start a peer that holds the files below `folder`; stop it with the block."""
    chosen = options or PynetdicomOptions()
    port = free_port()
    log = log or folder.with_name(f"{folder.name}-{port}.log")
    command = [sys.executable, "-m", __name__, str(folder), str(port), *_words(chosen)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=sink)
    try:
        is_ready = partial(accepts_connections, port, chosen.host)
        wait_until(is_ready, process, deadline_s=START_DEADLINE_S, log=log)
        yield PynetdicomPeer(port, chosen.aet, process.pid)
    finally:
        stop(process)


def _words(options: PynetdicomOptions) -> list[str]:
    words = [
        "--host",
        options.host,
        "--aet",
        options.aet,
        "--mover-port",
        str(options.mover_port),
        "--user",
        options.user,
    ]
    words += [word for uid in options.fails for word in ("--fail", uid)]
    for option, path in (("--cert", options.cert_file), ("--ca", options.ca_file)):
        if path is not None:
            words += [option, str(path)]
    return words


class _Archive:
    """The handlers."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from pydicom import dcmread  # noqa: PLC0415 -- who starts the process needs it not

        self._arguments = arguments
        self._held = [dcmread(path) for path in sorted(arguments.folder.rglob("*.dcm"))]

    def matches(self, keys: Dataset) -> list[Dataset]:
        """Return what has the unique keys that are given."""
        wanted = {
            keyword: _values(keys, keyword) for keyword in UNIQUE_KEYS.values() if keyword in keys
        }
        return [
            held
            for held in self._held
            if all(not uids or str(held.get(key)) in uids for key, uids in wanted.items())
        ]

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a C-FIND, once for each that differs in the key of its level."""
        from pydicom.dataset import Dataset  # noqa: PLC0415 -- see above

        keys = event.identifier
        if keys.get("QueryRetrieveLevel") not in UNIQUE_KEYS:
            yield 0xA900, None
            return
        unique = UNIQUE_KEYS[keys.QueryRetrieveLevel]
        told = set()
        for held in self.matches(keys):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            if held.get(unique) in told:
                continue
            told.add(held.get(unique))
            answer = Dataset()
            for element in keys:
                setattr(answer, element.keyword, held.get(element.keyword, ""))
            answer.QueryRetrieveLevel = keys.QueryRetrieveLevel
            yield 0xFF00, answer

    def get(self, event: Any) -> Iterator[Any]:
        """Answer a C-GET."""
        found = self.matches(event.identifier)
        yield len(found)
        yield from self._sub_operations(event, found)

    def move(self, event: Any) -> Iterator[Any]:
        """Answer a C-MOVE."""
        from pynetdicom import build_context  # noqa: PLC0415 -- see above

        if event.move_destination.strip() != "MOVER":
            yield None, None
            return
        found = self.matches(event.identifier)
        kinds = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in found}
        contexts = [build_context(*kind) for kind in sorted(kinds)]
        yield "127.0.0.1", self._arguments.mover_port, {"ae_title": "MOVER", "contexts": contexts}
        yield len(found)
        yield from self._sub_operations(event, found)

    def _sub_operations(self, event: Any, found: Sequence[Dataset]) -> Iterator[Any]:
        for held in found:
            if event.is_cancelled:
                yield 0xFE00, None
                return
            if held.SOPInstanceUID in self._arguments.fail:
                held = _unsendable(held)  # noqa: PLW2901 -- what fails takes its place
            yield 0xFF00, held

    def identify(self, event: Any) -> tuple[bool, None]:
        """Let those in whose name is known."""
        return event.primary_field.decode() == self._arguments.user, None


def _values(keys: Dataset, keyword: str) -> list[str]:
    value = keys.get(keyword)
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _unsendable(held: Dataset) -> Dataset:
    """Return an instance of a class that nobody negotiated."""
    from pydicom.dataset import Dataset  # noqa: PLC0415 -- see above

    other = Dataset()
    other.file_meta = held.file_meta
    other.SOPClassUID = "2.999.9.404"
    other.SOPInstanceUID = held.SOPInstanceUID
    return other


def give_responses_back() -> None:
    """Mend a race of pynetdicom 3.0.4 that lets a C-MOVE stand still on a busy machine.

    The thread of an association that it requested takes, now and then, a response that
    `send_c_store` waits for, and drops it as unexpected.
    """
    from pynetdicom.association import Association  # noqa: PLC0415 -- see above

    serve_request = Association._serve_request

    def served(association: Association, message: Any, context_id: int) -> None:
        if association.is_requestor and message.MessageIDBeingRespondedTo is not None:
            association.dimse.msg_queue.put((context_id, message))
        else:
            serve_request(association, message, context_id)

    Association._serve_request = served  # type: ignore[assignment, method-assign]  # -- mended, see above


def serve(arguments: argparse.Namespace) -> None:
    """Serve until the process ends."""
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, _config, evt  # noqa: PLC0415 -- see above

    from tests.support.dcmtk import QUERIES, STORED, VERIFICATION  # noqa: PLC0415 -- see above

    give_responses_back()
    _config.LOG_HANDLER_LEVEL = "none"
    entity = AE(arguments.aet)
    entity.require_called_aet = True
    entity.maximum_associations = 20
    for uid in (VERIFICATION, *QUERIES):
        entity.add_supported_context(uid)
    for uid in STORED:
        entity.add_supported_context(uid, list(ALL_TRANSFER_SYNTAXES), scu_role=True, scp_role=True)
    archive = _Archive(arguments)
    handlers: list[Any] = [
        (evt.EVT_C_FIND, archive.find),
        (evt.EVT_C_GET, archive.get),
        (evt.EVT_C_MOVE, archive.move),
    ]
    if arguments.user:
        handlers.append((evt.EVT_USER_ID, archive.identify))
    entity.start_server(
        (arguments.host, arguments.port),
        block=False,
        ssl_context=_server_context(arguments),
        evt_handlers=handlers,
    )
    threading.Event().wait()


def _server_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(arguments.cert)
    if arguments.ca is not None:
        context.load_verify_locations(arguments.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main() -> None:
    """Read what to serve, and serve it."""
    parser = argparse.ArgumentParser(description="A DIMSE archive on pynetdicom's services.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--aet", default="ARCHIVE")
    parser.add_argument("--mover-port", type=int, default=0)
    parser.add_argument("--user", default="")
    parser.add_argument("--fail", action="append", default=[])
    parser.add_argument("--cert", type=Path)
    parser.add_argument("--ca", type=Path)
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
