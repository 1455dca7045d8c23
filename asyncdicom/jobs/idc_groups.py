"""Series of the Imaging Data Commons as groups of objects: where they are, what files are called.

    groups = SeriesGroups("%collection_id/%PatientID", Location.AWS)
    groups.whole(series)                # everything below its prefix, counted and weighed
    groups.single(series, key)          # one object of it

A file has the name of its object, `{crdc_instance_uuid}.dcm`, in the folder that the
template makes of the row of its series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.model import Uid, is_uid
from asyncdicom.protocol.idc.dir_templates import TREE_COLUMNS, VARIABLES, check_dir_template
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.object_names import KeyNaming
from asyncdicom.storage.templates import Instance, parse_layout, variables_of

if TYPE_CHECKING:
    from asyncdicom.protocol.idc.buckets import Location
    from asyncdicom.protocol.idc.manifest import ManifestUrl
    from asyncdicom.protocol.idc.series import Series

__all__ = ["NOT_IN_INDEX", "SeriesGroups"]

NOT_IN_INDEX = "not_in_index"
"""Folder for series that a manifest names and the index does not know."""

_ALWAYS_THERE = frozenset(
    {"collection_id", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"}
    | {"crdc_series_uuid", "aws_bucket"}
)

_NO_UID = Uid("")


class SeriesGroups:
    """Makes groups; for one run.

    Attributes:
        columns: What else of the index the template needs.

    """

    def __init__(self, template: str, location: Location) -> None:
        """Prepare.

        Args:
            template: Of folders: idc-index's form, `{Keyword}`, `flat` or empty, `tree`.
            location: Where to fetch from.

        Raises:
            ConfigError: If the template is malformed, or names no column of the index.

        """
        check_dir_template(template)
        rules = parse_layout(template, known=VARIABLES)
        variables = TREE_COLUMNS if template == "tree" else variables_of(template)
        self.columns = frozenset(variables) - _ALWAYS_THERE
        self._is_flat = not rules
        self._layout = Layout(rules)
        self._location = location

    def whole(self, series: Series, *, bucket: str | None = None) -> ObjectGroup:
        """Return a whole series; the index says how much it is.

        Args:
            series: The series.
            bucket: Where it is, if not where the index says (somebody's own copy).

        """
        return ObjectGroup(
            bucket or series.bucket_in(self._location),
            series.prefix,
            self._naming(series, series.prefix),
            expected_count=series.instance_count,
            # An earlier version of less than 5,000 bytes has the size 0.
            expected_bytes=series.byte_count or None,
            rounded_by_bytes=series.rounded_by_bytes,
            study_instance_uid=_uid(series.study_instance_uid),
            series_instance_uid=_uid(series.series_instance_uid),
        )

    def single(
        self,
        series: Series,
        key: str,
        *,
        bucket: str | None = None,
        sop_instance_uid: Uid | None = None,
        byte_count: int | None = None,
    ) -> ObjectGroup:
        """Return one object of a series."""
        return ObjectGroup(
            bucket or series.bucket_in(self._location),
            key,
            self._naming(series, key),
            is_single=True,
            expected_bytes=byte_count,
            study_instance_uid=_uid(series.study_instance_uid),
            series_instance_uid=_uid(series.series_instance_uid),
            sop_instance_uid=sop_instance_uid,
        )

    def matching(self, series: Series, url: ManifestUrl, *, bucket: str | None) -> ObjectGroup:
        """Return the objects of a series that a pattern in a manifest matches."""
        return ObjectGroup(
            bucket or series.bucket_in(self._location),
            url.prefix,
            self._naming(series, url.prefix),
            pattern=url.pattern,
            study_instance_uid=_uid(series.study_instance_uid),
            series_instance_uid=_uid(series.series_instance_uid),
        )

    def unknown(self, url: ManifestUrl) -> ObjectGroup:
        """Return what a manifest names and the index does not know, in a folder that says so."""
        below = "" if self._is_flat else NOT_IN_INDEX
        folder = Layout(parse_layout("{prefix}")).folder_for(
            Instance(_NO_UID, values={"prefix": url.series_uuid})
        )
        return ObjectGroup(
            self._location.bucket_of(url.bucket),
            url.prefix,
            KeyNaming(url.prefix, below=f"{below}/{folder}" if below else ""),
            pattern=url.pattern,
            is_single=url.is_single,
        )

    def _naming(self, series: Series, key: str) -> KeyNaming:
        values = {
            "collection_id": series.collection_id,
            "PatientID": series.patient_id,
            "Modality": series.modality,
            "crdc_series_uuid": series.crdc_series_uuid,
            "aws_bucket": series.aws_bucket,
            **series.values,
        }
        instance = Instance(
            _NO_UID, Uid(series.series_instance_uid), Uid(series.study_instance_uid), values
        )
        return KeyNaming(key, below=self._layout.folder_for(instance))


def _uid(text: str) -> Uid | None:
    return Uid(text) if is_uid(text) else None
