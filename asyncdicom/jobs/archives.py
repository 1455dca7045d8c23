"""What jobs get instances from, whatever it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asyncdicom.jobs.cod_archive import CodArchive
    from asyncdicom.jobs.dimse_archive import DimseArchive
    from asyncdicom.jobs.web_archive import WebArchive

__all__ = ["Archive"]

Archive: TypeAlias = "WebArchive | DimseArchive | CodArchive"
