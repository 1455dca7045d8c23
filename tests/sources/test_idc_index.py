from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.sources.idc_index import IdcIndex, package_version, release_of
from tests.support.idc_index import index_row, write_index

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    return write_index(folder, [index_row(), index_row(Modality=None, SeriesInstanceUID="1.2.1.2")])


def test_the_installed_index_is_found_and_asked() -> None:
    with IdcIndex.open() as index:
        (count,) = index.one("SELECT count(*) FROM index")
        assert count > 1_000_000
        assert index.has("collections_index")
        assert not index.knows_instances


def test_a_release_says_its_version_and_date() -> None:
    with IdcIndex.open() as index:
        release = release_of(index)
    assert release.version is not None
    assert release.version >= 25
    assert release.date is not None
    assert release.date >= "2026"
    assert release.series > 1_000_000
    assert release.earlier_versions > 70_000
    assert package_version() is not None


def test_an_index_without_a_table_of_versions_has_no_version(small: Path) -> None:
    with IdcIndex.open(small) as index:
        release = release_of(index)
    assert (release.version, release.date, release.series) == (None, None, 2)


def test_rows_are_streamed(small: Path) -> None:
    with IdcIndex.open(small) as index:
        assert list(index.stream("SELECT Modality FROM index ORDER BY ALL")) == [("CT",), (None,)]


@pytest.mark.parametrize("name", ["idc_index.parquet", "prior_versions_index.parquet"])
def test_a_file_that_is_not_there_is_told(small: Path, tmp_path: Path, name: str) -> None:
    for file in small.iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(ConfigError, match=f"no such file of the index: .*{name}"):
        IdcIndex.open(tmp_path)


def test_a_damaged_file_is_told(small: Path, tmp_path: Path) -> None:
    (tmp_path / "idc_index.parquet").write_bytes(b"PAR1 no parquet")
    (tmp_path / "prior_versions_index.parquet").symlink_to(small / "prior_versions_index.parquet")
    with pytest.raises(ConfigError, match="the index cannot be read"):
        IdcIndex.open(tmp_path)


def test_a_quote_in_the_name_of_a_folder_is_no_sql(tmp_path: Path) -> None:
    folder = tmp_path / "it's mine"
    folder.mkdir()
    for name in ("idc_index.parquet", "prior_versions_index.parquet"):
        (folder / name).write_bytes(b"")
    with pytest.raises(ConfigError, match="the index cannot be read"):
        IdcIndex.open(folder)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("SELECT Modality FROM index WHERE Modality IS NOT NULL", id="SELECT"),
        pytest.param("WITH a AS (FROM index) SELECT Modality FROM a LIMIT 1", id="WITH"),
        pytest.param("FROM index SELECT Modality ORDER BY ALL LIMIT 1", id="FROM"),
    ],
)
def test_a_query_is_answered_with_its_columns(small: Path, query: str) -> None:
    with IdcIndex.open(small) as index:
        answer = index.ask(query)
        assert answer.columns == ("Modality",)
        assert list(answer.rows) == [("CT",)]


def test_the_tables_describe_themselves(small: Path) -> None:
    with IdcIndex.open(small) as index:
        names = [row[0] for row in index.ask("DESCRIBE index").rows]
    assert "crdc_series_uuid" in names
    assert "file_row_number" not in names


def test_several_queries_may_follow_each_other(small: Path) -> None:
    with IdcIndex.open(small) as index:
        assert list(index.ask("SELECT 1").rows) == [(1,)]
        assert list(index.ask("SELECT count(*) FROM index").rows) == [(2,)]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("SELECT * FROM read_text('/etc/hostname')", id="read_text"),
        pytest.param("SELECT * FROM read_csv('/etc/passwd')", id="read_csv"),
        pytest.param("SELECT * FROM '/etc/passwd'", id="a file as a table"),
        pytest.param("SELECT * FROM glob('/*')", id="glob"),
        pytest.param("SELECT * FROM read_parquet('http://127.0.0.1:9/x')", id="the network"),
        pytest.param("SELECT * FROM duckdb_secrets()", id="secrets"),
        pytest.param("SELECT * FROM query('COPY index TO ''/tmp/x''')", id="SQL within SQL"),
    ],
)
def test_no_file_but_the_index_can_be_read(small: Path, query: str) -> None:
    with IdcIndex.open(small) as index, pytest.raises(ConfigError, match="the query was refused"):
        list(index.ask(query).rows)


@pytest.mark.parametrize(
    "query",
    [
        "COPY index TO '{path}'",
        "COPY (SELECT 1) TO '{index}'",
        "EXPORT DATABASE '{path}'",
        "ATTACH '{path}'",
        "CREATE TABLE t AS SELECT 1",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_nothing_but_one_select_is_run(small: Path, tmp_path: Path, query: str) -> None:
    path = tmp_path / "written"
    index_file = small / "idc_index.parquet"
    before = index_file.read_bytes()
    with IdcIndex.open(small) as index, pytest.raises(ConfigError, match="not one SELECT"):
        index.ask(query.format(path=path, index=index_file))
    assert not path.exists()
    assert index_file.read_bytes() == before


@pytest.mark.parametrize(
    ("query", "told"),
    [
        pytest.param("SELEKT 1", "syntax error", id="no SQL"),
        pytest.param("SELECT nothing FROM index", "nothing", id="no such column"),
        pytest.param("SELECT 1 FROM nothing", "nothing", id="no such table"),
    ],
)
def test_what_is_not_understood_is_told(small: Path, query: str, told: str) -> None:
    with IdcIndex.open(small) as index, pytest.raises(ConfigError, match=told):
        index.ask(query)


def test_a_query_that_fails_late_is_no_damage_of_the_index(small: Path) -> None:
    late = "SELECT CAST(if(range = 500000, 'x', '1') AS INT) FROM range(1000000)"
    with IdcIndex.open(small) as index:
        rows = index.ask(late).rows
        assert next(rows) == (1,)
        with pytest.raises(ConfigError, match="the query was refused: Conversion Error"):
            list(rows)


def test_a_missing_library_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncdicom.sources.idc_index.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'asyncdicom\[idc\]'"):
        IdcIndex.open()


def test_a_missing_index_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "asyncdicom.sources.idc_index.find_spec",
        lambda name: None if name == "idc_index_data" else find_spec(name),
    )
    with pytest.raises(ConfigError, match="idc-index-data, which is the index, is not installed"):
        IdcIndex.open()
