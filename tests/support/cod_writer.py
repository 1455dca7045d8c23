"""Writes series into a Cloud-Optimized DICOM store with the package of that name.

Run by the Python of `.peers`, which has it, and ours has not:

    .peers/bin/python tests/support/cod_writer.py < order.json

The order says the store and the series (`tests/support/cod_store.py` makes it).
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def hashed(uid: str) -> str:
    """Return the UID that stands for another one in a store whose UIDs are hashed."""
    return f"2.25.{int.from_bytes(hashlib.sha256(uid.encode()).digest()[:15], 'big')}"


def write(order: dict[str, Any]) -> None:
    """Write each series of an order."""
    from google.auth.credentials import (  # type: ignore[import-not-found] # noqa: PLC0415
        AnonymousCredentials,
    )
    from google.cloud import storage  # type: ignore[import-not-found] # noqa: PLC0415

    client = storage.Client(project=order["project"], credentials=AnonymousCredentials())
    for series in order["series"]:
        _write_series(client, order["datastore"], series)


def _write_series(client: Any, datastore: str, series: dict[str, Any]) -> None:
    from cloud_optimized_dicom.cod_object import (  # type: ignore[import-not-found] # noqa: PLC0415
        CODObject,
    )
    from cloud_optimized_dicom.instance import (  # type: ignore[import-not-found] # noqa: PLC0415
        Instance,
    )

    function = hashed if series["is_hashed"] else None
    instances = [Instance(dicom_uri=path, uid_hash_func=function) for path in series["files"]]
    store = CODObject(
        datastore_path=datastore,
        client=client,
        study_uid=series["study_uid"],
        series_uid=series["series_uid"],
        mode="w",
        hashed_uids=series["is_hashed"],
    )
    with _metadata_version(series["version"], Instance), store:
        result = store.append(instances, compress=series["is_compressed"])
        if result.errors:
            raise RuntimeError(str(result.errors))
        if series["has_thumbnail"]:
            store.get_thumbnail()


@contextmanager
def _metadata_version(version: str, instance: Any) -> Iterator[None]:
    """Let the package write metadata as its first version did: its own code still can."""
    kept = instance.to_cod_dict_v2
    if version == "1.0":
        instance.to_cod_dict_v2 = instance.to_cod_dict_v1
    try:
        yield
    finally:
        instance.to_cod_dict_v2 = kept


if __name__ == "__main__":
    write(json.load(sys.stdin))
