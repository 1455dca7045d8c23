"""A small index of the Imaging Data Commons, for what the real one has no rows of.

    folder = write_index(tmp_path, [index_row(PatientID="4711")], prior=[prior_row()])
    IdcIndex.open(folder)

The files have the columns of the real ones, and nothing but the rows that are given.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import duckdb
import idc_index_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["index_row", "instance_row", "prior_row", "write_index", "write_instances"]

INDEX = str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
PRIOR_VERSIONS_INDEX = str(idc_index_data.PRIOR_VERSIONS_INDEX_PARQUET_FILEPATH)

UUID = "00000000-0000-4000-8000-000000000001"
EARLIER_UUID = "00000000-0000-4000-8000-00000000000e"


def index_row(**values: Any) -> dict[str, Any]:
    """Return a row of the main index; what is not given is that of one CT series."""
    return {
        "collection_id": "c_one",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.1.1",
        "source_DOI": "10.1/one",
        "Modality": "CT",
        "instanceCount": 2,
        "series_size_MB": 0.002,
        "aws_bucket": "idc-open-data",
        "crdc_series_uuid": UUID,
        **values,
    }


def prior_row(**values: Any) -> dict[str, Any]:
    """Return a row of the index of earlier versions."""
    return {
        "collection_id": "c_one",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.1.1",
        "Modality": "CT",
        "gcs_bucket": "public-datasets-idc",
        "aws_bucket": "idc-open-data",
        "crdc_series_uuid": EARLIER_UUID,
        "series_size_MB": 0.01,
        "min_idc_version": 1,
        "max_idc_version": 10,
        **values,
    }


def instance_row(**values: Any) -> dict[str, Any]:
    """Return a row of an index of instances."""
    return {
        "SOPInstanceUID": "1.2.1.1.1",
        "SeriesInstanceUID": "1.2.1.1",
        "crdc_instance_uuid": str(uuid.UUID(int=1)),
        "instance_size": 1000,
        **values,
    }


def write_index(
    folder: Path, rows: Sequence[Mapping[str, Any]], *, prior: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Write an index and return its folder."""
    _write(rows, f"SELECT * FROM read_parquet('{INDEX}')", folder / "idc_index.parquet")
    like = f"SELECT * FROM read_parquet('{PRIOR_VERSIONS_INDEX}')"
    _write(prior, like, folder / "prior_versions_index.parquet")
    return folder


def write_instances(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write an index of instances and return its file."""
    like = (
        "SELECT '' AS SOPInstanceUID, '' AS SeriesInstanceUID, '' AS crdc_instance_uuid, "
        "0::BIGINT AS instance_size"
    )
    _write(rows, like, file)
    return file


def _write(rows: Sequence[Mapping[str, Any]], like: str, file: Path) -> None:
    database = duckdb.connect()
    database.execute(f"CREATE TABLE rows AS SELECT * FROM ({like}) LIMIT 0")
    for row in rows:
        places = ", ".join("?" for _ in row)
        database.execute(
            f"INSERT INTO rows ({', '.join(row)}) VALUES ({places})", list(row.values())
        )
    database.execute(f"COPY rows TO '{file}' (FORMAT parquet)")
    database.close()
