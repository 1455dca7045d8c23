"""PS3.8 Table 9-10, copied cell by cell from the Standard: one line for an event.

Columns are Sta1 to Sta13; a dot is a cell that the Standard leaves empty. Nothing here is
computed, so that it can be compared with the printed table by eye.
"""

from __future__ import annotations

TABLE_9_10 = """
        1    2    3    4    5    6    7    8    9    10    11   12   13
Evt1    AE-1 .    .    .    .    .    .    .    .    .     .    .    .
Evt2    .    .    .    AE-2 .    .    .    .    .    .     .    .    .
Evt3    .    AA-1 AA-8 .    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
Evt4    .    AA-1 AA-8 .    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
Evt5    AE-5 .    .    .    .    .    .    .    .    .     .    .    .
Evt6    .    AE-6 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-7
Evt7    .    .    AE-7 .    .    .    .    .    .    .     .    .    .
Evt8    .    .    AE-8 .    .    .    .    .    .    .     .    .    .
Evt9    .    .    .    .    .    DT-1 .    AR-7 .    .     .    .    .
Evt10   .    AA-1 AA-8 .    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
Evt11   .    .    .    .    .    AR-1 .    .    .    .     .    .    .
Evt12   .    AA-1 AA-8 .    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
Evt13   .    AA-1 AA-8 .    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3 AA-8 AA-6
Evt14   .    .    .    .    .    .    .    AR-4 AR-9 .     .    AR-4 .
Evt15   .    .    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1  AA-1 AA-1 .
Evt16   .    AA-2 AA-3 .    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3  AA-3 AA-3 AA-2
Evt17   .    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4  AA-4 AA-4 AR-5
Evt18   .    AA-2 .    .    .    .    .    .    .    .     .    .    AA-2
Evt19   .    AA-1 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-7
"""

NEXT_STATES = {
    "AE-1": 4,
    "AE-2": 5,
    "AE-3": 6,
    "AE-4": 1,
    "AE-5": 2,
    "AE-6": 3,
    "AE-7": 6,
    "AE-8": 13,
    "DT-1": 6,
    "DT-2": 6,
    "AR-1": 7,
    "AR-2": 8,
    "AR-3": 1,
    "AR-4": 13,
    "AR-5": 1,
    "AR-6": 7,
    "AR-7": 8,
    "AR-8": 9,
    "AR-9": 11,
    "AR-10": 12,
    "AA-1": 13,
    "AA-2": 1,
    "AA-3": 1,
    "AA-4": 1,
    "AA-5": 1,
    "AA-6": 13,
    "AA-7": 13,
    "AA-8": 13,
}
"""Of PS3.8 Tables 9-6 to 9-9; AE-6 and AR-8 have a second one."""


def cells() -> dict[tuple[str, str], str | None]:
    """Return action, or None, by event and state, as in `("Evt3", "Sta5")`."""
    header, *rows = TABLE_9_10.strip().splitlines()
    return {
        (row.split()[0], f"Sta{state}"): None if action == "." else action
        for row in rows
        for state, action in zip(header.split(), row.split()[1:], strict=True)
    }
