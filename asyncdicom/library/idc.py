"""The Imaging Data Commons from Python, with the names of idc-index.

    result = await asyncdicom.download_from_selection("data", collection_id="rider_pilot")
    assert result.is_complete, result

`IDCClient` (`library.idc_client`) has the same without `await`, and the questions that
idc-index answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack

from asyncdicom.errors import ConfigError
from asyncdicom.jobs.idc_request import IdcRequest
from asyncdicom.library.idc_running import carry_out
from asyncdicom.library.options import check_names
from asyncdicom.protocol.idc.dir_templates import DEFAULT_TEMPLATE
from asyncdicom.protocol.idc.manifest import read_manifest
from asyncdicom.protocol.idc.selection import AnalysisResults, Selection

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from asyncdicom.events import Event
    from asyncdicom.library.idc_running import IdcResult

__all__ = [
    "IdcManifestOptions",
    "IdcOptions",
    "IdcSelectionOptions",
    "download_from_manifest",
    "download_from_selection",
]

Ids: TypeAlias = "str | Iterable[str]"
"""One id, or several."""


class IdcOptions(TypedDict, total=False):
    """Options of both functions."""

    dirTemplate: str | None
    """Folders, made of columns of the index; "" or None for none."""
    source_bucket_location: Literal["aws", "gcs"]
    """Which cloud; "aws" by default, or what a manifest says."""
    quiet: bool
    """For idc-index: nothing is printed in any case."""
    show_progress_bar: bool
    """For idc-index: give `progress_callback` or `on_event`."""
    use_s5cmd_sync: bool
    """For idc-index: what is there and whole is never fetched again."""
    progress_callback: Callable[[int, int, str, str], object]
    """Called every half second with bytes done, bytes in total, "B" and a description."""
    on_event: Callable[[Event], object]
    """Called with the events of `--json`; must not block."""
    endpoint_url: str
    """Another S3 service that holds the buckets."""
    concurrency: int
    """Requests at once, 1 to 1,024; 20 by default."""
    retry: int
    """Further tries of a failed request; 3 by default."""
    timeout: float
    """Seconds without a byte before a try is given up; 30 by default."""
    durability: Literal["none", "batch", "full"]
    """When to call a file safe: written, synced in groups (default), synced one by one."""
    index: str | os.PathLike[str]
    """Folder with the Parquet files of the index; that of idc-index-data by default."""
    instance_index: str | os.PathLike[str]
    """An index of instances (`sm_instance_index.parquet`)."""


class IdcSelectionOptions(IdcOptions, total=False):
    """Further options of `download_from_selection`: kinds of ids restrict each other."""

    dry_run: bool
    """Say how much it would be; fetch and create nothing."""
    collection_id: Ids
    patientId: Ids
    studyInstanceUID: Ids
    seriesInstanceUID: Ids
    sopInstanceUID: Ids
    """Instances of the series that the others select."""
    crdc_series_uuid: Ids
    """Versions of series, also earlier ones."""
    analysis_result_id: Ids
    analysis_results: Literal["include", "exclude", "only"]
    """Series that belong to an analysis result; "include" by default."""


class IdcManifestOptions(IdcOptions, total=False):
    """Further options of `download_from_manifest`."""

    validate_manifest: bool
    """For idc-index: a manifest is always compared with the index."""


async def download_from_selection(
    downloadDir: str | os.PathLike[str],  # noqa: N803 -- a name of idc-index
    **options: Unpack[IdcSelectionOptions],
) -> IdcResult:
    """Fetch series (or instances of them), proven complete against the index.

    Args:
        downloadDir: Folder to write to; it is made if missing.
        **options: What to fetch, and how, as `IdcSelectionOptions` lists them.

    Returns:
        What was stored, and what is missing. Look at `is_complete`, or call `check`.

    Raises:
        ConfigError: If nothing is selected, or the index, the template or a UID is not usable.
        DiskFull: If the folder has no room for it.
        TypeError: If there is no such option, or an id is no string.

    Cancellation: ends the requests and waits for them. Files with names are whole.

    """
    check_names("download_from_selection", options, IdcSelectionOptions)
    selection = _selection_of(options)
    if selection.is_empty:
        raise ConfigError("nothing is selected", hint="give collection_id, patientId, ...")
    return await carry_out(_request(options, selection), Path(downloadDir), _values(options))


async def download_from_manifest(
    manifestFile: str | os.PathLike[str],  # noqa: N803 -- a name of idc-index
    downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
    **options: Unpack[IdcManifestOptions],
) -> IdcResult:
    """Fetch what a manifest names, in any form that `asyncdicom idc get` reads.

    Args:
        manifestFile: The manifest.
        downloadDir: Folder to write to; it is made if missing.
        **options: As `IdcManifestOptions` lists them.

    Returns:
        As `download_from_selection`.

    Raises:
        ConfigError: If the manifest cannot be read; and as `download_from_selection`.

    """
    check_names("download_from_manifest", options, IdcManifestOptions)
    try:
        text = Path(manifestFile).read_text(encoding="utf-8", errors="replace")  # noqa: ASYNC240 -- once
    except OSError as error:
        told = f"cannot read the manifest {manifestFile}: {error.strerror}"
        raise ConfigError(told) from error
    request = _request(options, Selection(), lines=text.splitlines())
    return await carry_out(request, Path(downloadDir), _values(options))


def _request(
    options: Mapping[str, Any], selection: Selection, *, lines: Iterable[str] | None = None
) -> IdcRequest:
    return IdcRequest(
        options.get("dirTemplate", DEFAULT_TEMPLATE) or "",
        selection,
        None if lines is None else tuple(read_manifest(lines)),
        options.get("source_bucket_location"),
    )


def _selection_of(options: Mapping[str, Any]) -> Selection:
    return Selection(
        collection_id=_ids(options, "collection_id"),
        analysis_result_id=_ids(options, "analysis_result_id"),
        patient_id=_ids(options, "patientId"),
        study_instance_uid=_ids(options, "studyInstanceUID"),
        series_instance_uid=_ids(options, "seriesInstanceUID"),
        crdc_series_uuid=_ids(options, "crdc_series_uuid"),
        sop_instance_uid=_ids(options, "sopInstanceUID"),
        analysis_results=AnalysisResults(options.get("analysis_results", "include")),
    )


def _ids(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = options.get(name)
    if given is None:
        return ()
    values = [given] if isinstance(given, str) else list(given)
    if not values:
        # An empty list that came out of a query must not mean everything.
        raise ConfigError(f"{name} is empty", hint="leave it out to restrict nothing")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name} wants strings, not {type(value).__name__}")
    return tuple(dict.fromkeys(values))


def _values(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
