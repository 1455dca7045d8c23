"""`IDCClient`: what scripts for idc-index call, without `await`; also within a notebook."""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, Unpack

from asyncdicom.errors import ConfigError, NotFound
from asyncdicom.library import idc
from asyncdicom.library.idc_table import IdcTable
from asyncdicom.protocol.idc.viewers import Viewer, viewer_for, viewer_url
from asyncdicom.sources.idc_index import IdcIndex, release_of

if TYPE_CHECKING:
    import os
    from collections.abc import Coroutine, Iterable

    from asyncdicom.library.idc import IdcManifestOptions, IdcSelectionOptions
    from asyncdicom.library.idc_running import IdcResult

__all__ = ["IDCClient"]

Ids: TypeAlias = "str | Iterable[str]"
OutputFormat: TypeAlias = Literal["dict", "df", "list"]

_PATIENTS = "PatientID, max(PatientSex) AS PatientSex, max(PatientAge) AS PatientAge"
_STUDIES = (
    "StudyInstanceUID, max(StudyDate) AS StudyDate, max(StudyDescription) AS StudyDescription, "
    "count(*) AS SeriesCount"
)
_SERIES = (
    "StudyInstanceUID, SeriesInstanceUID, Modality, SeriesDate, collection_id AS Collection, "
    "BodyPartExamined, SeriesDescription, Manufacturer, ManufacturerModelName, series_size_MB, "
    "SeriesNumber, instanceCount AS instance_count, 1 AS ImageCount"
)


class IDCClient:
    """The Imaging Data Commons by its index, with the methods of idc-index.

    Making one costs nothing: each question opens the index (50 ms) and closes it again.
    A download that is not complete warns, says so in its result, and never passes for one
    that is.

    Example:
        client = IDCClient()
        print(client.get_idc_version(), len(client.get_collections()))
        result = client.download_from_selection("data", collection_id="rider_pilot")
        result.check()  # raises Incomplete if anything is missing

    """

    _shared: ClassVar[IDCClient | None] = None

    def __init__(self, index: str | os.PathLike[str] | None = None) -> None:
        """Prepare.

        Args:
            index: Folder with the Parquet files of the index; None for idc-index-data.

        """
        self._index = None if index is None else Path(index)

    @classmethod
    def client(cls) -> IDCClient:
        """Return the one that is shared."""
        if IDCClient._shared is None:
            IDCClient._shared = IDCClient()
        return IDCClient._shared

    def sql_query(self, sql: str) -> IdcTable:
        """Ask the index in SQL; the tables are `index`, `prior_versions_index` and others.

        Raises:
            ConfigError: If it is no query, or reads anything but the index.

        """
        with IdcIndex.open(self._index) as index:
            answer = index.ask(sql)
            return IdcTable(answer.columns, list(answer.rows))

    def get_idc_version(self) -> str:
        """Return the release that the index describes, as in `v25`."""
        with IdcIndex.open(self._index) as index:
            return f"v{release_of(index).version}"

    def get_collections(self) -> list[str]:
        """Return the ids of all collections."""
        return list(self._table("DISTINCT collection_id", "true")["collection_id"])

    def get_patients(
        self,
        collection_id: Ids,
        outputFormat: OutputFormat = "dict",  # noqa: N803 -- a name of idc-index, as in this case
    ) -> Any:
        """Return the patients of collections, with sex and age.

        Args:
            collection_id: One or several.
            outputFormat: "dict" for a list of dictionaries, "list" for the ids alone, "df"
                for an `IdcTable`.

        Raises:
            NotFound: If none of them is in the index.

        """
        found = self._of("collection_id", collection_id, _PATIENTS, "PatientID")
        return _as_format(found, outputFormat)

    def get_dicom_studies(self, patientId: Ids, outputFormat: OutputFormat = "dict") -> Any:  # noqa: N803 -- as above
        """Return the studies of patients; otherwise as `get_patients`."""
        return _as_format(
            self._of("PatientID", patientId, _STUDIES, "StudyInstanceUID"), outputFormat
        )

    def get_dicom_series(self, studyInstanceUID: Ids, outputFormat: OutputFormat = "dict") -> Any:  # noqa: N803 -- as above
        """Return the series of studies; otherwise as `get_patients`."""
        found = self._of("StudyInstanceUID", studyInstanceUID, _SERIES, None)
        return _as_format(found, outputFormat, key="SeriesInstanceUID")

    def get_series_size(self, seriesInstanceUID: str) -> float:  # noqa: N803 -- as above
        """Return the size of a series in MB of 1,000,000 bytes.

        Raises:
            NotFound: If it is not in the index.

        """
        found = self._of("SeriesInstanceUID", seriesInstanceUID, "series_size_MB", None)
        return float(found[0]["series_size_MB"])

    def get_viewer_URL(  # noqa: N802 -- as above
        self,
        seriesInstanceUID: str | None = None,  # noqa: N803 -- as above
        studyInstanceUID: str | None = None,  # noqa: N803 -- as above
        viewer_selector: Literal["ohif_v2", "ohif_v3", "slim"] | None = None,
    ) -> str:
        """Return the address at which a viewer shows a series or a study.

        Raises:
            ConfigError: If neither is given.
            NotFound: If it is not in the index, or the series is of another study.

        """
        if seriesInstanceUID is not None:
            row = self._of("SeriesInstanceUID", seriesInstanceUID, "StudyInstanceUID", None)[0]
            if studyInstanceUID not in (None, row["StudyInstanceUID"]):
                raise NotFound("the series is of another study", status_code=404)
            studyInstanceUID = str(row["StudyInstanceUID"])  # noqa: N806 -- as above
        if studyInstanceUID is None:
            raise ConfigError("say which series or study is to be shown")
        modalities = self._of("StudyInstanceUID", studyInstanceUID, "DISTINCT Modality", None)
        viewer = (
            Viewer(viewer_selector) if viewer_selector else viewer_for(set(modalities["Modality"]))
        )
        return viewer_url(studyInstanceUID, series=seriesInstanceUID, viewer=viewer)

    def download_from_selection(
        self,
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Unpack[IdcSelectionOptions],
    ) -> IdcResult:
        """Fetch a selection; see `asyncdicom.download_from_selection`."""
        self._set_index(options)
        return _told(_run(idc.download_from_selection(downloadDir, **options)))

    def download_from_manifest(
        self,
        manifestFile: str | os.PathLike[str],  # noqa: N803 -- as above
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Unpack[IdcManifestOptions],
    ) -> IdcResult:
        """Fetch what a manifest names; see `asyncdicom.download_from_manifest`."""
        self._set_index(options)
        return _told(_run(idc.download_from_manifest(manifestFile, downloadDir, **options)))

    def download_collection(
        self,
        collection_id: Ids,
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Any,
    ) -> IdcResult:
        """Fetch collections."""
        return self.download_from_selection(downloadDir, collection_id=collection_id, **options)

    def download_analysis_result(
        self,
        analysis_result_id: Ids,
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Any,
    ) -> IdcResult:
        """Fetch analysis results."""
        return self.download_from_selection(
            downloadDir, analysis_result_id=analysis_result_id, **options
        )

    def download_dicom_patients(
        self,
        patientId: Ids,  # noqa: N803 -- as above
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Any,
    ) -> IdcResult:
        """Fetch patients."""
        return self.download_from_selection(downloadDir, patientId=patientId, **options)

    def download_dicom_studies(
        self,
        studyInstanceUID: Ids,  # noqa: N803 -- as above
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Any,
    ) -> IdcResult:
        """Fetch studies."""
        return self.download_from_selection(
            downloadDir, studyInstanceUID=studyInstanceUID, **options
        )

    def download_dicom_series(
        self,
        seriesInstanceUID: Ids,  # noqa: N803 -- as above
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Any,
    ) -> IdcResult:
        """Fetch series."""
        return self.download_from_selection(
            downloadDir, seriesInstanceUID=seriesInstanceUID, **options
        )

    def download_dicom_instance(
        self,
        sopInstanceUID: Ids,  # noqa: N803 -- as above
        downloadDir: str | os.PathLike[str],  # noqa: N803 -- as above
        **options: Any,
    ) -> IdcResult:
        """Fetch instances; without an index of instances, their series has to be given, too."""
        return self.download_from_selection(downloadDir, sopInstanceUID=sopInstanceUID, **options)

    def _set_index(self, options: Any) -> None:
        if self._index is not None:
            options.setdefault("index", self._index)

    def _of(self, column: str, ids: Ids, wanted: str, by: str | None) -> IdcTable:
        """Return what the index says of some ids.

        Raises:
            NotFound: If it knows none of them.

        """
        values = [ids] if isinstance(ids, str) else list(ids)
        group = f"GROUP BY {by}" if by else ""
        condition = f"{column} IN (SELECT unnest(?::VARCHAR[])) {group}"
        found = self._table(wanted, condition, values)
        if not len(found):
            named = ", ".join(map(repr, values))
            raise NotFound(f"no {column} {named} in the index", status_code=404)
        return found

    def _table(self, wanted: str, condition: str, *values: Any) -> IdcTable:
        query = f"SELECT {wanted} FROM index WHERE {condition} ORDER BY ALL"  # noqa: S608 -- names of ours
        with IdcIndex.open(self._index) as index:
            rows = index.all(query, *values)
            return IdcTable(index.columns(), rows)


def _as_format(found: IdcTable, kind: OutputFormat, *, key: str | None = None) -> Any:
    match kind:
        case "df":
            return found
        case "list":
            return list(found[key or found.columns[0]])
        case "dict":
            return list(found)


def _run(work: Coroutine[Any, Any, IdcResult]) -> IdcResult:
    """Run a coroutine to its end: in this thread, or beside its loop (as notebooks have one)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(asyncio.run, work).result()


def _told(result: IdcResult) -> IdcResult:
    if not result.is_complete:
        first = f": {result.failed[0].target}: {result.failed[0].error}" if result.failed else ""
        warnings.warn(f"the download is not complete{first}", stacklevel=3)
    return result
