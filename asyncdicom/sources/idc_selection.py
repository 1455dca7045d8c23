"""Which series of the index a selection means, and which of its ids mean nothing.

    chosen = choose(index, Selection(collection_id=("prostate_3t",)))
    chosen.totals                   # series, instances, bytes
    for series in chosen.series():  # streamed
        ...

How: the values of each kind are a small table that the index is joined with, so that
they are never part of SQL, and each row that is chosen tells which value met it. Chosen
are numbers of rows; what is to be known of them is read afterwards, and only there.

Rule: earlier versions of series, which only their UUIDs name, are looked for when
UUIDs are given, and never otherwise. Their rows have numbers below 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.model import is_uid
from asyncdicom.protocol.idc.selection import COLUMNS, AnalysisResults, Kind, is_uuid
from asyncdicom.protocol.idc.series import ROUNDED_BYTES, Series, Totals
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncdicom.protocol.idc.buckets import Location
    from asyncdicom.protocol.idc.selection import Selection
    from asyncdicom.sources.idc_index import IdcIndex, Row

__all__ = ["Chosen", "IndexedInstance", "choose", "indexed_instances", "source_dois"]

# Megabytes of 1,000,000 bytes; six decimals make them exact, but of earlier versions there are two.
_BYTES = "CAST(round(series_size_MB * 1e6) AS BIGINT)"

MAX_ORDERED = 100_000
"""Series that are put in order: more of them would be held in memory for it."""

_VIEWS = (
    """CREATE OR REPLACE TEMP VIEW series AS
    SELECT *, file_row_number AS row FROM read_parquet({index}, file_row_number = true)""",
    """CREATE OR REPLACE TEMP VIEW earlier AS
    SELECT *, -1 - file_row_number AS row
    FROM read_parquet({prior_versions_index}, file_row_number = true)""",
)

_ANALYSIS = {
    AnalysisResults.INCLUDE: "true",
    AnalysisResults.EXCLUDE: "s.analysis_result_id IS NULL",
    AnalysisResults.ONLY: "s.analysis_result_id IS NOT NULL",
}


class Chosen:
    """Series that are selected; valid as long as the index is open.

    Attributes:
        totals: How much it is.

    """

    def __init__(self, index: IdcIndex, selection: Selection) -> None:
        self.index = index
        self.selection = selection
        series, instances, byte_count, uncounted = index.one(
            "SELECT count(*), coalesce(sum(instances), 0), coalesce(sum(bytes), 0), "
            "count(*) FILTER (instances IS NULL) FROM chosen"
        )
        self.totals = Totals(series, int(instances), int(byte_count), uncounted)

    def series(self, columns: Iterable[str] = ()) -> Iterator[Series]:
        """Yield what is chosen, earlier versions last; up to 100,000 in the order of the index.

        Args:
            columns: Further columns of the index that are wanted as `Series.values`.

        """
        wanted = sorted(columns)
        further = "".join(f", CAST(s.{column} AS VARCHAR)" for column in wanted)
        for row in self.index.stream(
            "SELECT s.crdc_series_uuid, s.collection_id, s.PatientID, s.StudyInstanceUID, "  # noqa: S608 -- names of ours
            "s.SeriesInstanceUID, s.Modality, s.aws_bucket, c.instances, c.bytes"
            f"{further} FROM chosen c JOIN series s ON c.row = s.row{self._order}"
        ):
            yield Series(*row) if not wanted else _with_values(row, wanted)
        if self.totals.uncounted_series:
            yield from self._earlier()

    def addresses(self, location: Location) -> Iterator[tuple[str, str, str]]:
        """Yield bucket, CRDC UUID and Series Instance UID, in the order of `series`.

        That is enough for a manifest, and takes a quarter of the time.
        """
        for bucket, uuid, uid in self.index.stream(
            "SELECT s.aws_bucket, s.crdc_series_uuid, s.SeriesInstanceUID "  # noqa: S608 -- names of ours
            f"FROM chosen c JOIN series s ON c.row = s.row{self._order}"
        ):
            yield location.bucket_of(bucket), uuid, uid
        if self.totals.uncounted_series:
            for one in self._earlier():
                yield one.bucket_in(location), one.crdc_series_uuid, one.series_instance_uid

    @property
    def _order(self) -> str:
        # DuckDB joins in the order of the scan but for blocks of few rows, which it collects.
        return " ORDER BY c.row" if self.totals.series <= MAX_ORDERED else ""

    def grouped(self, *columns: str) -> Iterator[Row]:
        """Yield the totals by some of the columns that both tables have: values, series, ….

        The last three values of a row are series, instances and bytes.
        """
        names = ", ".join(columns)
        tables = ["series", "earlier"] if self.totals.uncounted_series else ["series"]
        rows = " UNION ALL ".join(
            f"SELECT {names}, instances, bytes FROM chosen JOIN {table} USING (row)"  # noqa: S608 -- names of ours
            for table in tables
        )
        return self.index.stream(
            f"SELECT {names}, count(*), coalesce(sum(instances), 0), coalesce(sum(bytes), 0) "  # noqa: S608 -- names of ours
            f"FROM ({rows}) GROUP BY {names} ORDER BY {names}"
        )

    def _earlier(self) -> Iterator[Series]:
        for row in self.index.stream(
            "SELECT crdc_series_uuid, collection_id, PatientID, StudyInstanceUID, "
            "SeriesInstanceUID, Modality, aws_bucket, instances, bytes, gcs_bucket "
            "FROM chosen JOIN earlier USING (row) ORDER BY row DESC"
        ):
            series = Series(*row[:9])
            yield replace(series, gcs_bucket=row[9], rounded_by_bytes=ROUNDED_BYTES)


def choose(index: IdcIndex, selection: Selection) -> Chosen:
    """Find the series of a selection.

    Raises:
        ConfigError: If the index is damaged.

    """
    files = {name: index.file_of(name) for name in ("index", "prior_versions_index")}
    index.execute("; ".join(view.format_map(files) for view in _VIEWS))
    kinds = dict(selection.restrictions())
    for kind, values in kinds.items():
        want(index, COLUMNS[kind], values)
    if selection.ids is not None:
        _identify(index, selection.ids)
    index.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS {_current_rows(selection, kinds)}")
    if selection.ids is not None or Kind.CRDC_SERIES in kinds:
        index.execute(f"INSERT INTO chosen {_earlier_rows(selection, kinds)}")
    return Chosen(index, selection)


@dataclass(frozen=True, slots=True)
class IndexedInstance:
    """An instance as an index of instances has it."""

    sop_instance_uid: str
    series_instance_uid: str
    crdc_instance_uuid: str
    byte_count: int | None


def indexed_instances(index: IdcIndex, uids: Sequence[str]) -> list[IndexedInstance]:
    """Look instances up in the index of instances, if there is one.

    Raises:
        ConfigError: If it is damaged, or another table.

    """
    if not index.knows_instances:
        return []
    want(index, "instances", uids)
    rows = index.all(
        "SELECT SOPInstanceUID, SeriesInstanceUID, crdc_instance_uuid, instance_size "
        "FROM sm_instance_index JOIN want_instances ON SOPInstanceUID = value"
    )
    return [IndexedInstance(*row) for row in rows]


def source_dois(chosen: Chosen) -> set[str]:
    """Return the DOIs of what chosen series are from; of an earlier version those of today's."""
    rows = chosen.index.all(
        "SELECT DISTINCT source_DOI FROM chosen JOIN series USING (row) UNION "
        "SELECT DISTINCT s.source_DOI FROM chosen JOIN earlier e USING (row) "
        "JOIN series s USING (SeriesInstanceUID)"
        if chosen.totals.uncounted_series
        else "SELECT DISTINCT source_DOI FROM chosen JOIN series USING (row)"
    )
    return {doi for (doi,) in rows if doi}


def want(index: IdcIndex, name: str, values: Sequence[str]) -> None:
    """Make a table of values: `want_NAME(value, n)`."""
    if name == COLUMNS[Kind.CRDC_SERIES]:
        values = [value.lower() for value in values]
    index.execute(
        f"CREATE OR REPLACE TEMP TABLE want_{name} AS "
        "SELECT unnest(?::VARCHAR[]) AS value, generate_subscripts(?::VARCHAR[], 1) AS n",
        list(values),
        list(values),
    )


def _current_rows(selection: Selection, kinds: Iterable[Kind]) -> str:
    return (
        f"SELECT s.row, s.instanceCount AS instances, {_BYTES} AS bytes{_met(kinds)} "  # noqa: S608 -- names of ours
        f"FROM series s {_joins(selection, kinds)} WHERE {_ANALYSIS[selection.analysis_results]}"
    )


def _earlier_rows(selection: Selection, kinds: Sequence[Kind] | dict[Kind, tuple[str, ...]]) -> str:
    """Choose earlier versions; the analysis result is that of the series today."""
    is_analysis = Kind.ANALYSIS_RESULT in kinds or (
        selection.analysis_results is not AnalysisResults.INCLUDE
    )
    today = (
        "(SELECT e.*, t.analysis_result_id FROM earlier e JOIN series t USING (SeriesInstanceUID))"
        if is_analysis
        else "earlier"
    )
    return (
        f"SELECT s.row, NULL, {_BYTES}{_met(kinds)} FROM {today} s "  # noqa: S608 -- names of ours
        f"{_joins(selection, kinds)} WHERE {_ANALYSIS[selection.analysis_results]} "
        # A version that moved to another bucket has a row for each; the last one holds.
        "QUALIFY row_number() OVER (PARTITION BY s.crdc_series_uuid "
        "ORDER BY s.max_idc_version DESC) = 1"
    )


def _met(kinds: Iterable[Kind]) -> str:
    return "".join(f", want_{COLUMNS[kind]}.n AS n_{COLUMNS[kind]}" for kind in kinds)


def _joins(selection: Selection, kinds: Iterable[Kind]) -> str:
    joins = [f"JOIN want_{COLUMNS[k]} ON s.{k.value} = want_{COLUMNS[k]}.value" for k in kinds]
    if selection.ids is not None:
        joins.append("JOIN (SELECT DISTINCT row FROM identified) USING (row)")
    return " ".join(joins)


def _identify(index: IdcIndex, ids: Sequence[str]) -> None:
    """Find the rows that ids of any kind name: `identified(row, n)`, `want_ids(value, n)`."""
    values = [one.lower() if is_uuid(one) else one for one in ids]
    want(index, "ids", values)
    index.execute("CREATE OR REPLACE TEMP TABLE identified (row BIGINT, n BIGINT)")
    uuids = set(filter(is_uuid, values))
    others = set(values) - uuids
    for kind in Kind:
        possible = _possible(kind, uuids, others)
        if possible:
            _identify_as(index, kind, "series", possible)
            found = _identified(index)
            uuids -= found
            others -= found
    if uuids:
        _identify_as(index, Kind.CRDC_SERIES, "earlier", list(uuids))


def _possible(kind: Kind, uuids: set[str], others: set[str]) -> list[str]:
    """Return what has the form of a kind's values; looking for any costs up to 0.1 s."""
    if kind is Kind.CRDC_SERIES:
        return list(uuids)
    return list(filter(is_uid, others) if kind in (Kind.STUDY, Kind.SERIES) else others)


def _identify_as(index: IdcIndex, kind: Kind, table: str, values: Sequence[str]) -> None:
    index.execute(
        f"INSERT INTO identified SELECT s.row, w.n FROM {table} s JOIN "  # noqa: S608 -- names of ours
        f"(SELECT * FROM want_ids WHERE value IN (SELECT unnest(?::VARCHAR[]))) w "
        f"ON s.{kind.value} = w.value",
        list(values),
    )


def _identified(index: IdcIndex) -> set[str]:
    rows = index.all("SELECT DISTINCT value FROM want_ids JOIN identified USING (n)")
    return {value for (value,) in rows}


def _with_values(row: Row, columns: Sequence[str]) -> Series:
    values = {
        name: value for name, value in zip(columns, row[9:], strict=True) if value is not None
    }
    return replace(Series(*row[:9]), values=values)
