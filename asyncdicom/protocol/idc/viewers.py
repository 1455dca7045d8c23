"""Addresses of the viewers of the Imaging Data Commons.

viewer_url("1.2.3", series="1.2.3.4", viewer=Viewer.SLIM)
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Viewer", "viewer_for", "viewer_url"]

ROOT = "https://viewer.imaging.datacommons.cancer.gov"


class Viewer(StrEnum):
    """Viewers that show what the Imaging Data Commons holds."""

    OHIF_V2 = "ohif_v2"
    OHIF_V3 = "ohif_v3"
    SLIM = "slim"


def viewer_for(modalities: set[str]) -> Viewer:
    """Return the viewer that can show a study with these modalities."""
    return Viewer.SLIM if "SM" in modalities else Viewer.OHIF_V3


def viewer_url(study: str, *, series: str | None, viewer: Viewer) -> str:
    """Return the address that shows a study, or one series of it."""
    match viewer:
        case Viewer.OHIF_V2:
            return f"{ROOT}/viewer/{study}" + (f"?SeriesInstanceUID={series}" if series else "")
        case Viewer.OHIF_V3:
            first = f"&initialSeriesInstanceUID={series}" if series else ""
            return f"{ROOT}/v3/viewer/?StudyInstanceUIDs={study}{first}"
        case Viewer.SLIM:
            return f"{ROOT}/slim/studies/{study}" + (f"/series/{series}" if series else "")
