"""One SOP Instance in memory, as the server sent it."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pydicom

    from asyncdicom.model import Uid

__all__ = ["Instance"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, whole: its content was walked to the last byte (PS3.10 §7)."""

    study_instance_uid: Uid
    series_instance_uid: Uid
    sop_instance_uid: Uid
    sop_class_uid: Uid
    transfer_syntax_uid: Uid
    data: bytes = field(repr=False)
    """The DICOM file, byte for byte as sent."""
    sha256: str
    """Of the data, in lower-case hexadecimal digits."""
    remarks: tuple[str, ...] = ()
    """What is odd about it, though it is what the server holds."""

    def dataset(self) -> pydicom.FileDataset:
        """Parse the data with pydicom.

        Cost: one parse per call, and 0.2 s for the import of pydicom at the
        first; keep what it returns.

        Raises:
            pydicom.errors.InvalidDicomError: If pydicom is stricter than the walk was.

        """
        # Imported here: who only moves bytes does without.
        import pydicom  # noqa: PLC0415 -- lazy on purpose

        return pydicom.dcmread(BytesIO(self.data))
