"""Studies that instances come for, until nothing came for a while.

DICOM does not say when a study is complete: a modality may associate once for each
series. So it is taken for complete when no instance of it was stored for some time, and no
association that brought one of it is in the middle of another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.receiver.events import DuplicateFate, InstanceStored, StudyCompleted

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.receiver.associations import OpenAssociation
    from asyncdicom.receiver.events import ReceiverEvent, ReceiverObserver

__all__ = ["StudyWatch"]

K = TypeVar("K")

MAX_OPEN_STUDIES = 100_000
"""Beyond, the one that waits longest is told early: a peer may invent a study per instance."""
MAX_SENDERS = 16
"""AE titles and associations that are remembered of one study."""
MAX_KNOWN_INSTANCES = 500_000
"""Instances that are remembered of all studies, some 70 MB. Those beyond count once for each file
that is new: one that was told before and is replaced now is then missing in the count."""


@dataclass(slots=True)
class _OpenStudy:
    last_s: float
    """Reading of the event loop's clock when something was stored, in seconds."""
    instances: int = 0
    replaced: int = 0
    byte_count: int = 0
    known: dict[int, int] = field(default_factory=dict)
    """Size of the last file, in bytes, by the hash of the SOP Instance UID. Python keys its hashes
    anew in each process: no peer can choose UIDs that collide."""
    calling_aes: dict[str, None] = field(default_factory=dict)
    associations: dict[int, None] = field(default_factory=dict)

    def add(self, event: InstanceStored, *, may_learn: bool) -> None:
        is_replacing = event.fate is DuplicateFate.REPLACED
        key = hash(event.sop_instance_uid)
        before_bytes = self.known.get(key)
        if before_bytes is None:
            self.instances += may_learn or not is_replacing
        elif is_replacing:
            self.byte_count -= before_bytes
        if may_learn or before_bytes is not None:
            self.known[key] = event.byte_count
        self.replaced += is_replacing
        self.byte_count += event.byte_count
        _remember(self.calling_aes, event.caller.calling_ae)
        _remember(self.associations, event.caller.association)


def _remember(known: dict[K, None], one: K) -> None:
    """Keep the last few of what was met, in the order of their first time."""
    known.setdefault(one, None)
    if len(known) > MAX_SENDERS:
        del known[next(iter(known))]


class StudyWatch:
    """Tells each study once it is idle (`StudyCompleted`); for one event loop.

    Cost: one timer, and O(1) for each instance: studies stand in the order in which
    something last came for them.
    """

    def __init__(
        self,
        idle_s: float,
        tell: ReceiverObserver,
        association_of: Callable[[int], OpenAssociation | None],
    ) -> None:
        """Prepare.

        Args:
            idle_s: How long nothing may have come, in seconds.
            tell: Told of each study that is complete.
            association_of: Finds an association by its number, if it is open.

        """
        self._idle_s = idle_s
        self._tell = tell
        self._association_of = association_of
        self._open: OrderedDict[str, _OpenStudy] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._known = 0

    def __len__(self) -> int:
        return len(self._open)

    def note(self, event: ReceiverEvent) -> None:
        """Take note of an instance that was stored."""
        if not isinstance(event, InstanceStored) or event.study_instance_uid is None:
            return
        now_s = asyncio.get_running_loop().time()
        study = self._open.get(event.study_instance_uid)
        if study is None:
            study = self._open[event.study_instance_uid] = _OpenStudy(now_s)
        known = len(study.known)
        study.add(event, may_learn=self._known < MAX_KNOWN_INSTANCES)
        self._known += len(study.known) - known
        self._touch(event.study_instance_uid, now_s)
        if len(self._open) > MAX_OPEN_STUDIES:
            self._complete(next(iter(self._open)), is_idle=False)
        if self._timer is None:
            self._wait(self._idle_s)

    def close(self) -> None:
        """Tell what is still open: nothing more will come to this receiver."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._open:
            self._complete(next(iter(self._open)), is_idle=False)

    def _wait(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """Tell those that are idle, and wait for the next."""
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        while self._open:
            uid, study = next(iter(self._open.items()))
            rest_s = study.last_s + self._idle_s - now_s
            if rest_s > 0:
                self._wait(rest_s)
                return
            if self._is_coming(study):
                self._touch(uid, now_s)
            else:
                self._complete(uid, is_idle=True)

    def _touch(self, uid: str, now_s: float) -> None:
        self._open[uid].last_s = now_s
        self._open.move_to_end(uid)

    def _is_coming(self, study: _OpenStudy) -> bool:
        """Tell whether somebody who brought some of it is in the middle of a data set."""
        found = map(self._association_of, study.associations)
        return any(one is not None and one.in_flight for one in found)

    def _complete(self, uid: str, *, is_idle: bool) -> None:
        study = self._open.pop(uid)
        self._known -= len(study.known)
        self._tell(
            StudyCompleted(
                uid,
                study.instances,
                study.byte_count,
                tuple(study.calling_aes),
                is_idle,
                study.replaced,
            )
        )
