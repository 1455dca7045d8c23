"""The index of the Imaging Data Commons: DuckDB reads its Parquet files where they lie.

    with IdcIndex.open() as index:
        index.all("SELECT count(*) FROM index WHERE collection_id = ?", "nlst")

The one home of DuckDB and idc-index-data. For one thread at a time; answers are
streamed, so that a million rows take the memory of a few thousand.

Rule: who asks in SQL (`ask`) can read the index and nothing else: one SELECT, and
DuckDB itself refuses every other file, the network, extensions and settings.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from asyncdicom.errors import ConfigError
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from _duckdb import DuckDBPyConnection

    Connection: TypeAlias = DuckDBPyConnection

__all__ = [
    "VIEWS",
    "Answer",
    "IdcIndex",
    "Release",
    "Row",
    "connect",
    "package_version",
    "release_of",
]

Row: TypeAlias = tuple[Any, ...]

VIEWS = {
    "index": "idc_index.parquet",
    "prior_versions_index": "prior_versions_index.parquet",
    "collections_index": "collections_index.parquet",
    "analysis_results_index": "analysis_results_index.parquet",
    "version_metadata_index": "version_metadata_index.parquet",
}
"""What can be asked, and the file of idc-index-data behind it; the first two must be there."""

INSTANCES = "sm_instance_index"
"""View of an index of instances, if one was given."""

ROWS_AT_ONCE = 2048
"""The length of a vector of DuckDB."""

# One thread: the index has one row group, which is scanned by one. No file is ever
# written, nothing downloaded.
_SETTINGS = {
    "threads": "1",
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

_INSTALL = "install it with: pip install 'asyncdicom[idc]'"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query returned."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


def _damaged(error: Exception) -> ConfigError:
    return ConfigError(
        f"the index cannot be read: {_first_line(error)}", hint="install idc-index-data again"
    )


def _refused(error: Exception) -> ConfigError:
    return ConfigError(f"the query was refused: {_first_line(error)}")


class IdcIndex:
    """The Parquet files of one version of the index, opened."""

    def __init__(self, connection: Connection, files: dict[str, Path]) -> None:
        self._connection = connection
        self._files = files
        self._duckdb = _library()
        self._is_locked = False

    @classmethod
    def open(
        cls,
        folder: Path | None = None,
        *,
        instances: Path | None = None,
        connection: Connection | None = None,
    ) -> Self:
        """Open an index.

        Args:
            folder: Where its files are; None for those that idc-index-data installed.
            instances: Further file, of the form of `sm_instance_index.parquet`, or None.
            connection: Of `connect`, if there is one already; it is closed with the index.

        Raises:
            ConfigError: If DuckDB or the files are not there.

        """
        files = _files_in(folder or _installed_folder())
        if instances is not None:
            files[INSTANCES] = _existing(instances)
        index = cls(connection or connect(), files)
        try:
            # Columns are read page by page as far as they are needed, not as a whole: 45 MB less.
            settings = ["LOAD parquet", "SET disable_parquet_prefetching = true"]
            views = [
                f"CREATE VIEW {view} AS FROM read_parquet({_quoted(path)})"
                for view, path in files.items()
            ]
            # Together: behind each answer a thread waits for its turn, 5 ms if others import.
            index._run("; ".join([*settings, *views]))
        except ConfigError:
            index.close()
            raise
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back memory and files."""
        self._connection.close()

    @property
    def knows_instances(self) -> bool:
        """Whether there is an index of instances."""
        return self.has(INSTANCES)

    def has(self, view: str) -> bool:
        """Tell whether there is a table of that name."""
        return view in self._files

    def file_of(self, view: str) -> str:
        """Return the file behind a view, quoted for SQL."""
        return _quoted(self._files[view])

    def execute(self, sql: str, *values: Any) -> None:
        """Run a statement of ours that returns nothing.

        Raises:
            ConfigError: If the index is damaged; so with all that read.

        """
        self._run(sql, values)

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query of ours."""
        self._run(sql, values)
        return [row for rows in self._blocks() for row in rows]

    def one(self, sql: str, *values: Any) -> Row:
        """Return the one row of a query of ours."""
        (row,) = self.all(sql, *values)
        return row

    def stream(self, sql: str, *values: Any) -> Iterator[Row]:
        """Yield rows as they are found; nothing else may be asked meanwhile."""
        self._run(sql, values)
        for rows in self._blocks():
            yield from rows

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns of the last query."""
        return tuple(column[0] for column in self._connection.description or ())

    def ask(self, sql: str) -> Answer:
        """Answer a query of the user's.

        From then on the connection reads the files of the index and nothing else.

        Raises:
            ConfigError: If it is no query, or DuckDB does not understand it.

        """
        self._lock()
        try:
            statements = self._connection.extract_statements(sql)
            if [one.type for one in statements] != [self._duckdb.StatementType.SELECT]:
                raise ConfigError("not one SELECT", hint="the index can be read, not changed")
            self._connection.execute(statements[0])
        except self._duckdb.Error as error:
            raise _refused(error) from error
        rows = (row for rows in self._blocks(_refused) for row in rows)
        return Answer(self.columns(), rows)

    def _lock(self) -> None:
        if self._is_locked:
            return
        allowed = ", ".join(map(_quoted, self._files.values()))
        self._run(f"SET allowed_paths = [{allowed}]")
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")
        self._is_locked = True

    def _run(self, sql: str, values: Sequence[Any] = ()) -> None:
        try:
            self._connection.execute(sql, list(values))
        except self._duckdb.Error as error:
            raise _damaged(error) from error

    def _blocks(self, told: Callable[[Exception], ConfigError] = _damaged) -> Iterator[list[Row]]:
        while True:
            try:
                rows = self._connection.fetchmany(ROWS_AT_ONCE)
            except self._duckdb.Error as error:
                raise told(error) from error
            if not rows:
                return
            yield rows


@dataclass(frozen=True, slots=True)
class Release:
    """What an index describes."""

    version: int | None
    """Of the Imaging Data Commons; None if its table of versions is not there."""
    date: str | None
    index_version: str | None
    """As the file says."""
    series: int
    earlier_versions: int


def connect() -> Connection:
    """Return a connection for an index: to make one takes 30 ms, whatever will be asked.

    Raises:
        ConfigError: If DuckDB is not there.

    """
    connection: Connection = _library().connect(":memory:", config=_SETTINGS)
    return connection


def release_of(index: IdcIndex) -> Release:
    """Return which release an index describes.

    Raises:
        ConfigError: If it is damaged.

    """
    date = None
    version = None
    if index.has("version_metadata_index"):
        version, date = index.one(
            "SELECT idc_version, version_timestamp FROM version_metadata_index "
            "ORDER BY idc_version DESC LIMIT 1"
        )
    said = index.all(
        f"SELECT decode(value) FROM parquet_kv_metadata({index.file_of('index')}) "  # noqa: S608 -- a name of ours
        "WHERE decode(key) = 'idc_index_data_version'"
    )
    (series,) = index.one("SELECT count(*) FROM index")
    (earlier,) = index.one("SELECT count(DISTINCT crdc_series_uuid) FROM prior_versions_index")
    return Release(version, date, said[0][0] if said else None, series, earlier)


def package_version() -> str | None:
    """Return the version of idc-index-data, or None if it is not installed."""
    # Imported here: it reads mail, which takes 10 ms, and few commands tell the version.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 -- as said

    try:
        return version("idc-index-data")
    except PackageNotFoundError:
        return None


def _library() -> Any:
    """Import DuckDB: its extension module alone, which is there in a quarter of the time."""
    for name in ("_duckdb", "duckdb"):
        if find_spec(name) is not None:
            return importlib.import_module(name)
    raise ConfigError("DuckDB, which reads the index, is not installed", hint=_INSTALL)


def _installed_folder() -> Path:
    # Found, not imported: importing it takes half a second for what is not needed here.
    spec = find_spec("idc_index_data")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("idc-index-data, which is the index, is not installed", hint=_INSTALL)
    return Path(spec.submodule_search_locations[0])


def _files_in(folder: Path) -> dict[str, Path]:
    files = {view: folder / name for view, name in VIEWS.items()}
    _existing(files["index"])
    _existing(files["prior_versions_index"])
    return {view: path for view, path in files.items() if path.exists()}


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"no such file of the index: {path}")
    return path


def _quoted(path: Path) -> str:
    text = str(path.absolute()).replace("'", "''")
    return f"'{text}'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
