"""What a report of `idc get` names as failed, as if a manifest named it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.events import object_from_json
from asyncdicom.model import Resource
from asyncdicom.protocol.idc.manifest import ManifestId, ManifestUrl
from asyncdicom.storage.reports import read_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.idc.manifest import ManifestEntry

__all__ = ["failed_entries"]


def failed_entries(report: str) -> Iterator[ManifestEntry]:
    """Yield the objects, listings and ids that failed.

    Raises:
        ConfigError: If the report cannot be read, or is not one of object stores.

    """
    for number, line in enumerate(read_report(report), 1):
        if line.get("outcome") != "failed":
            continue
        target = object_from_json(line)
        if target is None:
            raise ConfigError(f"{report} is no report of `idc get`")
        if target.scheme == "idc":
            yield ManifestId(number, target.key)
        else:
            is_single = target.resource is Resource.OBJECT
            yield ManifestUrl(number, target.scheme, target.bucket, target.key, is_single=is_single)
