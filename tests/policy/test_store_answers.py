"""What a C-STORE that failed is answered with: the table is the policy."""

from __future__ import annotations

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ContentError,
    DiskFull,
    InvalidUid,
    LimitExceeded,
    NameTaken,
    NotNegotiated,
    ProtocolError,
    StorageError,
    Truncated,
    UidMismatch,
    UnexpectedContent,
    UnsafeName,
)
from asyncdicom.policy.store_answers import answer_to


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(DiskFull("no space", path="a"), 0xA700, id="disk full"),
        pytest.param(StorageError("failed", path="a"), 0xA700, id="disk fails"),
        pytest.param(NameTaken("taken", path="a"), 0xA700, id="name taken"),
        pytest.param(UnsafeName("a link", path="a"), 0xA700, id="a link in the way"),
        pytest.param(UidMismatch(expected="1", received="2"), 0xA900, id="another instance"),
        pytest.param(UnexpectedContent("MR, not CT"), 0xA900, id="another SOP class"),
        pytest.param(InvalidUid("no UID"), 0x0117, id="no UID"),
        pytest.param(NotNegotiated("no"), 0x0122, id="SOP class not taken"),
        pytest.param(Truncated("cut"), 0xC000, id="cut"),
        pytest.param(ProtocolError("broken"), 0xC000, id="broken"),
        pytest.param(LimitExceeded("too deep"), 0xC000, id="beyond a limit"),
        pytest.param(ContentError("SOPClassUID is missing"), 0xC000, id="nameless"),
    ],
)
def test_each_failure_has_its_status(error: AsyncDicomError, status: int) -> None:
    assert answer_to(error) == status
