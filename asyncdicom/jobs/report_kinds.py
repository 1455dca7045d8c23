"""What a recorded request asked for, told from where its record lies, else from its URL.

The tree of `dump` says it exactly (`asyncdicom.jobs.dump_paths`). A record that
lies elsewhere, because somebody copied it or runs the report on a folder within
the tree, is judged by the path of its URL (PS3.18 §10.4.1.1, §10.6.1.1).
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from asyncdicom.protocol.urls import shown

__all__ = ["UNREADABLE_URL", "Kind", "kind_of", "shown_url"]

UNREADABLE_URL = "(not an http URL)"

MAX_URL_CHARACTERS = 1_000
"""Shown of a URL: three UIDs of 64 characters and a root take 300."""


class Kind(StrEnum):
    """Kinds of requests, in the order in which a report lists them."""

    SEARCH = "search"
    STUDY_METADATA = "study-metadata"
    SERIES_METADATA = "series-metadata"
    INSTANCE_METADATA = "instance-metadata"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"
    FRAME = "frame"
    BULKDATA = "bulkdata"
    RENDERED = "rendered"
    THUMBNAIL = "thumbnail"
    OTHER = "other"

    @property
    def label(self) -> str:
        """Name as people read it."""
        return self.value.replace("-", " ")


_BY_PARENT = {"frames": Kind.FRAME, "_": Kind.INSTANCE, "search": Kind.SEARCH}
_BY_NAME = {
    "rendered": Kind.RENDERED,
    "thumbnail": Kind.THUMBNAIL,
    "study": Kind.STUDY,
    "series": Kind.SERIES,
}
_METADATA_BY_LEVEL = {"instances": Kind.INSTANCE_METADATA, "series": Kind.SERIES_METADATA}
_METADATA = frozenset({*_METADATA_BY_LEVEL.values(), Kind.STUDY_METADATA})


def kind_of(names: tuple[str, ...], name: str, url: str) -> Kind:
    """Tell what a record is about.

    Args:
        names: Folders from the output folder down to the record.
        name: Name of the file that the record is about, without suffix.
        url: What was asked for.

    """
    folder = names[-1] if names else ""
    if folder in _BY_PARENT:
        return _BY_PARENT[folder]
    if "bulkdata" in names:
        return Kind.BULKDATA
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name == "metadata" and len(names) > 1 and names[-2] in _METADATA_BY_LEVEL:
        return _METADATA_BY_LEVEL[names[-2]]
    from_url = _kind_of_url(url)
    # `STUDY/metadata`, or any level if the report begins within the tree.
    is_doubtful = name == "metadata" and from_url not in _METADATA
    return Kind.STUDY_METADATA if is_doubtful else from_url


def _kind_of_url(url: str) -> Kind:
    try:
        segments = [segment for segment in urlsplit(url).path.split("/") if segment]
    except ValueError:
        return Kind.OTHER
    if "studies" not in segments:
        is_search = bool(segments) and segments[-1] in {"series", "instances"}
        return Kind.SEARCH if is_search else Kind.OTHER
    at = len(segments) - 1 - segments[::-1].index("studies")
    return _kind_of_segments(segments[at + 1 :])


def _kind_of_segments(below: list[str]) -> Kind:
    """Judge what follows `/studies`: UIDs at odd, resource names at even places."""
    last = below[-1] if below else ""
    if "bulkdata" in below:
        return Kind.BULKDATA
    if last in {"rendered", "thumbnail"}:
        return _BY_NAME[last]
    if last == "metadata":
        levels = (k for level, k in _METADATA_BY_LEVEL.items() if level in below)
        return next(levels, Kind.STUDY_METADATA)
    if "frames" in below:
        return Kind.FRAME
    if not below or last in {"series", "instances"}:
        return Kind.SEARCH
    if "instances" in below:
        return Kind.INSTANCE
    return Kind.SERIES if "series" in below else Kind.STUDY


def shown_url(url: str) -> str:
    """Return a recorded URL fit for a report: no user information, query or fragment.

    What is not an http(s) URL with a host is not shown at all: nobody can tell
    where credentials would stand in it.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return shown(url)[:MAX_URL_CHARACTERS]
    except ValueError:
        pass
    return UNREADABLE_URL
