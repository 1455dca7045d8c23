"""Where `dump` puts things: one fixed tree that scripts can rely on (DESIGN §5).

    STUDY/metadata
    STUDY/series/SERIES/metadata
    STUDY/series/SERIES/instances/SOP/metadata
    STUDY/series/SERIES/instances/SOP/frames/N
    STUDY/series/SERIES/instances/SOP/_/SOP
    STUDY/series/SERIES/instances/SOP/bulkdata/ATTRIBUTE
    .../rendered, .../thumbnail
    STUDY/search/series, STUDY/series/SERIES/search/instances

Beside each file `FILE.dump.json`; with the multipart wrapper taken off, `FILE.bin`.
"""

from __future__ import annotations

from asyncdicom.model import Resource, Target

__all__ = ["ERROR_SUFFIX", "PRETTY_SUFFIX", "RECORD_SUFFIX", "STRIPPED_SUFFIX", "path_of"]

RECORD_SUFFIX = ".dump.json"
ERROR_SUFFIX = ".error"
STRIPPED_SUFFIX = ".bin"
PRETTY_SUFFIX = ".pretty.json"


def path_of(target: Target) -> str:
    """Return the path of a target's file, relative to the output folder.

    Every component is a validated UID, a number, an attribute path made of
    tags, or a literal: nothing a server wrote becomes a name unchecked.
    """
    folder: str = target.study_instance_uid
    if target.series_instance_uid is not None:
        folder += f"/series/{target.series_instance_uid}"
    if target.sop_instance_uid is not None:
        folder += f"/instances/{target.sop_instance_uid}"
    match target.resource:
        case Resource.FRAME:
            return f"{folder}/frames/{target.frame_number}"
        case Resource.INSTANCE:
            return f"{folder}/_/{target.sop_instance_uid}"
        case Resource.BULKDATA:
            return f"{folder}/bulkdata/{target.attribute}"
        case Resource.SEARCH:
            what = "series" if target.series_instance_uid is None else "instances"
            return f"{folder}/search/{what}"
        case _:
            return f"{folder}/{target.resource.value}"
