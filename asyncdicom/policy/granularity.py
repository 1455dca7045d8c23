"""What to ask for at once: a study, its series one by one, or instance by instance.

One answer for many small instances saves a round trip each; many answers at
once use the server's cores and lose less when one breaks. So:

1. A study that is small altogether is asked for whole.
2. A series of small instances is asked for whole: the round trips would cost
   more than the bytes.
3. Large instances are asked for one by one, unless there are as many series as
   there are workers and no series is so large that a break would hurt.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.model import Uid

__all__ = [
    "Granularity",
    "SeriesSize",
    "granularity_of_series",
    "may_be_repeated_whole",
    "study_fits_one_answer",
]

MIB = 1024 * 1024

WHOLE_STUDY_BYTES = 32 * MIB
"""About a second on a fast network: nothing is gained by splitting it."""
WHOLE_SERIES_BYTES = 256 * MIB
"""What one may lose the end of, and ask for again, without pain."""
SMALL_INSTANCE_BYTES = 128 * 1024
"""Below this a round trip (1 to 50 ms) costs more than the bytes of the instance."""
MAX_REPEATED_SHARE = 0.02
"""Of a series that may travel twice because an earlier run was killed. Half of it would
save requests, and cost a run that is killed again and again half a series each time."""
UNKNOWN_INSTANCE_BYTES = 512 * 1024
"""A CT slice, for servers that tell neither size nor rows and columns."""


class Granularity(StrEnum):
    """What one request asks for."""

    AUTO = "auto"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class SeriesSize:
    """What is known of a series before it is fetched."""

    series_instance_uid: Uid
    instances: int
    byte_count: int
    """Estimated size of all instances."""


def study_fits_one_answer(series: Sequence[SeriesSize]) -> bool:
    """Tell whether the study is small enough to be asked for whole."""
    return sum(one.byte_count for one in series) <= WHOLE_STUDY_BYTES


def granularity_of_series(one: SeriesSize, *, series_count: int, concurrency: int) -> Granularity:
    """Choose how to ask for one series of a study that does not fit one answer."""
    if one.instances == 0:
        return Granularity.SERIES
    if one.byte_count / one.instances < SMALL_INSTANCE_BYTES:
        return Granularity.SERIES
    if series_count >= concurrency and one.byte_count <= WHOLE_SERIES_BYTES:
        return Granularity.SERIES
    return Granularity.INSTANCE


def may_be_repeated_whole(one: SeriesSize, *, there: int) -> bool:
    """Tell whether a series may be asked for whole although some of its instances are there."""
    return there <= MAX_REPEATED_SHARE * one.instances
