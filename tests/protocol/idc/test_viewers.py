from __future__ import annotations

import pytest

from asyncdicom.protocol.idc.viewers import Viewer, viewer_for, viewer_url

ROOT = "https://viewer.imaging.datacommons.cancer.gov/"


@pytest.mark.parametrize(
    ("viewer", "series", "path"),
    [
        (Viewer.OHIF_V2, None, "viewer/1.2"),
        (Viewer.OHIF_V2, "1.2.3", "viewer/1.2?SeriesInstanceUID=1.2.3"),
        (Viewer.OHIF_V3, None, "v3/viewer/?StudyInstanceUIDs=1.2"),
        (
            Viewer.OHIF_V3,
            "1.2.3",
            "v3/viewer/?StudyInstanceUIDs=1.2&initialSeriesInstanceUID=1.2.3",
        ),
        (Viewer.SLIM, None, "slim/studies/1.2"),
        (Viewer.SLIM, "1.2.3", "slim/studies/1.2/series/1.2.3"),
    ],
)
def test_each_viewer_has_its_addresses(viewer: Viewer, series: str | None, path: str) -> None:
    assert viewer_url("1.2", series=series, viewer=viewer) == ROOT + path


def test_slides_are_shown_by_the_viewer_for_slides() -> None:
    assert viewer_for({"SM", "SEG"}) is Viewer.SLIM
    assert viewer_for({"CT", "SEG"}) is Viewer.OHIF_V3
