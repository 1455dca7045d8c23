"""Writes series into a Cloud-Optimized DICOM store with the package of that name.

Run by the Python of `.peers`, which has it; ours has not, and imports this module for
the names alone:

    .peers/bin/python tests/support/cod_writer.py < order.json

The order says the store and the series (`tests/support/cod_store.py` makes it).
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def hashed(uid: str) -> str:
    """Return the UID that stands for another one in a store whose UIDs are hashed."""
    return f"2.25.{int.from_bytes(hashlib.sha256(uid.encode()).digest()[:15], 'big')}"


def write(order: dict[str, Any]) -> None:
    """Write each series of an order."""
    storage = import_module("google.cloud.storage")
    credentials = import_module("google.auth.credentials").AnonymousCredentials()
    client = storage.Client(project=order["project"], credentials=credentials)
    for series in order["series"]:
        _write_series(client, order["datastore"], series)


def _write_series(client: Any, datastore: str, series: dict[str, Any]) -> None:
    package = "cloud_optimized_dicom"
    make_instance = import_module(f"{package}.instance").Instance
    make_store = import_module(f"{package}.cod_object").CODObject
    function = hashed if series["is_hashed"] else None
    instances = [make_instance(dicom_uri=path, uid_hash_func=function) for path in series["files"]]
    store = make_store(
        datastore_path=datastore,
        client=client,
        study_uid=series["study_uid"],
        series_uid=series["series_uid"],
        mode="w",
        hashed_uids=series["is_hashed"],
    )
    with _metadata_version(series["version"], make_instance), store:
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
