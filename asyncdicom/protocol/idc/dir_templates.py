"""Templates of folders, as idc-index writes them: checked before anything is fetched.

    check_dir_template("%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID")

What a template means is `storage.templates`'s to say, of which idc-index's form
(five variables, three separators) is a part. Here stands what may be a variable, and
what is certainly a slip: the name of one without its sign.
"""

from __future__ import annotations

import re

from asyncdicom.errors import ConfigError

__all__ = ["DEFAULT_TEMPLATE", "TREE_COLUMNS", "VARIABLES", "check_dir_template"]

DEFAULT_TEMPLATE = "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"
"""That of idc-index."""

VARIABLES = frozenset(
    {
        "collection_id",
        "analysis_result_id",
        "PatientID",
        "PatientAge",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "StudyDescription",
        "SeriesInstanceUID",
        "SeriesDate",
        "SeriesDescription",
        "SeriesNumber",
        "BodyPartExamined",
        "Modality",
        "Manufacturer",
        "ManufacturerModelName",
        "SOPClassUID",
        "sop_class_name",
        "TransferSyntaxUID",
        "license_short_name",
        "source_DOI",
        "aws_bucket",
        "crdc_series_uuid",
    }
)
"""Columns of the index that say something of one series, and are no address or count."""

TREE_COLUMNS = frozenset(
    {"PatientID", "StudyInstanceUID", "StudyDescription"}
    | {"SeriesInstanceUID", "SeriesNumber", "SeriesDescription"}
)
"""What the layout `tree` takes from the index."""

# As `storage.templates` reads them; what is left of a template is plain text.
_VARIABLE = re.compile(r"%%|%(?:[A-Z][A-Za-z0-9]*|[a-z][a-z0-9]*(?:_[a-z0-9]+)*)|\{[^{}]*\}")
_SLIP = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(sorted(VARIABLES))})(?![A-Za-z0-9])")


def check_dir_template(text: str) -> None:
    """Refuse a template in which the name of a variable stands without its sign.

    Raises:
        ConfigError: If one does: all files would go to one folder of that name.

    """
    for plain in _VARIABLE.split(text):
        if slip := _SLIP.search(plain):
            raise ConfigError(
                f"the template {text!r} has {slip[1]} as plain text",
                hint=f"a variable is written %{slip[1]}",
            )
