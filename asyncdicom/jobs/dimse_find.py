"""A C-FIND as a search: answers as data sets, decoded by their own character set.

    found = DimseSearch(source, query, limit=100)
    job = FindJob(found, writer.write)          # retries, signals and writers as for QIDO-RS

Rule: an operation that breaks is asked again from its beginning. What it brought
before does not come twice.
"""

from __future__ import annotations

import hashlib
import struct
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import orjson

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.jobs.dimse_targets import level_of
from asyncdicom.jobs.find import dictionary
from asyncdicom.policy.paging import Verdict
from asyncdicom.protocol.dimse.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN, QueryLevel
from asyncdicom.protocol.identifiers import Key, texts_in, tree_of
from asyncdicom.protocol.qido_keys import AttributePath, Keys, Match, parse_keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from pydicom.dataset import Dataset

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.ports.dimse import FindAnswer
    from asyncdicom.protocol.identifiers import Tree
    from asyncdicom.sources.dimse import DimseSource

__all__ = ["UNIQUE_KEYS", "DimseQuery", "DimseSearch", "decoded", "query_of"]

UNIQUE_KEYS = {
    QueryLevel.PATIENT: (0x00100020, "LO"),
    QueryLevel.STUDY: (0x0020000D, "UI"),
    QueryLevel.SERIES: (0x0020000E, "UI"),
    QueryLevel.IMAGE: (0x00080018, "UI"),
}
"""PS3.4 §C.6.1.1."""

_NOUNS = {
    QueryLevel.PATIENT: ("patient", "patients"),
    QueryLevel.STUDY: ("study", "studies"),
    QueryLevel.SERIES: ("series", "series"),
    QueryLevel.IMAGE: ("instance", "instances"),
    None: ("entry", "entries"),
}


@dataclass(frozen=True, slots=True)
class DimseQuery:
    """What is searched for."""

    level: QueryLevel | None
    """None in models without levels."""
    tree: Tree
    """Keys to match, and keys to return."""
    matches: tuple[Match, ...] = field(default=())
    """Keys to match, as they were written."""

    def counted(self, count: int) -> str:
        """Say how many answers: `1 study`, `3 studies`."""
        one, many = _NOUNS[self.level]
        return f"{count} {one if count == 1 else many}"

    def returning(self, paths: Iterable[AttributePath]) -> DimseQuery:
        """Return the same query, which asks for some attributes back, too."""
        return replace(self, tree=tree_of(Keys(self.matches, tuple(paths))))

    def keys(self) -> Tree:
        """Return all keys; the unique one of the level is always asked for."""
        if self.level is None:
            return self.tree
        tag, vr = UNIQUE_KEYS[self.level]
        return {tag: Key(vr), **self.tree}


def query_of(
    words: Iterable[str], *, level: str | None = None, has_levels: bool = True
) -> tuple[Keys, DimseQuery]:
    """Read the keys of a command line.

    Args:
        words: `KEY=VALUE` and `KEY`; `QueryRetrieveLevel=` names the level.
        level: Name of the level, in any case, where it was given elsewhere.
        has_levels: Whether the model has any.

    Returns:
        The keys without the level, and the query; the level is by default that of
        the deepest attribute that is matched.

    Raises:
        ConfigError: If a key or the level is unknown.

    """
    words = list(words)
    named = [word for word in words if word.partition("=")[0].strip() in _LEVEL_KEYS]
    keys = parse_keys([word for word in words if word not in named], dictionary())
    tree = tree_of(keys)
    if not has_levels:
        return keys, DimseQuery(None, tree, keys.matches)
    text = level or (named[-1].partition("=")[2] if named else "")
    matched = tree_of(Keys(keys.matches))
    found = _level_named(text) if text else level_of(matched)
    return keys, DimseQuery(found, tree, keys.matches)


_LEVEL_KEYS = ("QueryRetrieveLevel", "00080052", "0008,0052", "(0008,0052)")


def _level_named(text: str) -> QueryLevel:
    name = text.strip().upper()
    name = "IMAGE" if name == "INSTANCE" else name
    if name not in list(QueryLevel):
        raise ConfigError(
            f"no level {text!r}", hint="QueryRetrieveLevel is PATIENT, STUDY, SERIES or IMAGE"
        )
    return QueryLevel(name)


class DimseSearch:
    """A query under way.

    Attributes:
        query: What is searched for.
        notes: What the archive remarked: nothing, for C-FIND has no place for it.

    """

    def __init__(self, source: DimseSource, query: DimseQuery, *, limit: int | None = None) -> None:
        self.query = query
        self.notes: list[str] = []
        self._source = source
        self._limit = limit
        self._answers = 0
        self._problem = ""
        self._is_over = False
        self._limit_reached = False
        self._seen: set[bytes] = set()

    def __str__(self) -> str:
        return f"find {self.query.counted(2).partition(' ')[2]}"

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""
        return self._is_over

    def verdict(self) -> Verdict:
        """Return what is proven so far; final once the search is over."""
        return Verdict(
            answers=self._answers,
            duplicates=0,
            pages=0,
            problem=self._problem,
            limit_reached=self._limit_reached,
        )

    def fail(self, error: AsyncDicomError) -> None:
        """End the search: the list is not complete."""
        self._problem = str(error)
        self._is_over = True

    async def page(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield what matches; after a failure, what had not come before.

        Raises:
            OperationFailed: If the archive refuses, or fails.
            FetchError: As `DimseSource.find`.

        """
        # All tries count: the last one may have broken earlier than one before it.
        before = frozenset(self._seen)
        query = self.query
        async with aclosing(self._source.find(query.level, query.keys())) as answers:
            async for answer in answers:
                digest = hashlib.blake2b(answer.identifier, digest_size=16).digest()
                if digest in before:
                    continue
                yield decoded(answer)
                # Not sooner: what cannot be read did not come, and fails each try.
                self._seen.add(digest)
                self._answers += 1
                if self._answers == self._limit:
                    self._limit_reached = True
                    break
        self._is_over = True


def decoded(answer: FindAnswer) -> dict[str, Any]:
    """Return an answer in the DICOM JSON Model (PS3.18 Annex F).

    Values that their VR does not allow are kept as text: a list of what an archive
    holds is no place to drop them.

    Raises:
        ProtocolError: If it is no data set.

    """
    # Imported here: it costs a quarter of a second, and only a find shows answers.
    from pydicom import config  # noqa: PLC0415 -- lazy on purpose
    from pydicom.filereader import read_dataset  # noqa: PLC0415 -- as above

    config.settings.reading_validation_mode = config.IGNORE
    # The structure is judged by us, before pydicom reads it.
    texts_in(answer.identifier, answer.transfer_syntax, ())
    is_implicit = answer.transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
    try:
        dataset = read_dataset(BytesIO(answer.identifier), is_implicit, is_little_endian=True)
    except _UNDECODABLE as error:
        raise ProtocolError("the character set of an answer is none") from error
    tags = [int(tag) for tag in dataset.keys()]  # noqa: SIM118 -- iterating would decode
    return {f"{tag:08X}": _element(dataset, tag) for tag in tags if tag & 0xFFFF}


# What pydicom's converters raise for values that are none (`values.py`, `charset.py`,
# `dataelem.py`), those of sequences included, beside an error of its own.
_UNDECODABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError),
    *(TypeError, ValueError, struct.error),
)


def _element(dataset: Dataset, tag: int) -> dict[str, Any]:
    from pydicom.errors import BytesLengthException  # noqa: PLC0415 -- as above

    raw = dataset.get_item(tag, keep_deferred=True)
    try:
        found: dict[str, Any] = dataset[tag].to_json_dict(None, 0)
        orjson.dumps(found)  # a number of more than 64 bits is none to whoever writes it
    except (*_UNDECODABLE, BytesLengthException):
        value = getattr(raw, "value", b"") or b""
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        return {"vr": "UN", "Value": text.strip(" \0").split("\\")}
    return found
