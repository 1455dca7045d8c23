"""The compatible DIMSE engine: pynetdicom in threads, two for each association.

    transport = PynetdicomTransport(DimseSettings(host="archive", called_ae="ARCHIVE"))
    async with transport.associate(proposal) as association:
        await association.echo()
    await transport.aclose()

It is slower than the native one, and a second opinion: where a peer and we disagree,
another implementation of PS3.7 §9.1 and PS3.8 §9.2 can be asked.

Strategy: pynetdicom's layers are used (ACSE, state machine, PDUs, messages), but its
services are not: they decode identifiers and encode them again, and poll.

Rules:
* Nothing of pynetdicom changes for the rest of the program, but that it logs no more
  unless somebody asked for it, and warns of no values: it shows identifiers, and so patients.
* A C-STORE is held in memory until its last fragment came; the native engine holds none.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.errors import (
    AssociationRejected,
    Unreachable,
    UsageError,
)
from asyncdicom.ports.dimse import DimseStatistics
from asyncdicom.transports.associations import sockets
from asyncdicom.transports.associations.pynetdicom_session import PynetdicomSession
from asyncdicom.transports.associations.threaded import ThreadedAssociation
from asyncdicom.transports.associations.tls import requestor_context
from asyncdicom.transports.associations.workers import Worker
from asyncdicom.transports.messages import system_reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.ports.dimse import Proposal
    from asyncdicom.transports.associations.settings import DimseSettings

__all__ = ["PynetdicomTransport", "silence"]

MAX_ASSOCIATIONS = 64
"""At one time, two threads each; who wants more waits for one to end."""


class PynetdicomTransport:
    """Implements `ports.dimse.DimseTransport`.

    Raises:
        ConfigError: If certificates cannot be used.

    """

    def __init__(self, settings: DimseSettings) -> None:
        self._settings = settings
        self._tls = None if settings.tls is None else requestor_context(settings.tls)
        self._slots = asyncio.Semaphore(MAX_ASSOCIATIONS)
        self._sessions: dict[PynetdicomSession, ThreadedAssociation] = {}
        self._statistics = DimseStatistics()
        self._is_closed = False
        silence()

    @property
    def name(self) -> str:
        """`pynetdicom`."""
        return "pynetdicom"

    @property
    def settings(self) -> DimseSettings:
        """What it was made with."""
        return self._settings

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncGenerator[ThreadedAssociation]:
        """Establish an association; leaving releases it, or aborts it after an error."""
        async with self._slots:
            if self._is_closed:
                raise UsageError("the transport is closed")
            session = PynetdicomSession(self._settings, proposal, self._tls)
            worker = Worker("asyncdicom-association")
            association = ThreadedAssociation(session, worker, self._settings)
            self._entered(session, association)
            try:
                await self._establish(association)
                yield association
                await association.release()
            finally:
                await association.close()
                self._left(session)

    def statistics(self) -> DimseStatistics:
        """Return the counters."""
        counters = self._statistics
        return replace(
            counters,
            messages_received=counters.messages_received
            + sum(session.messages_received for session in self._sessions),
            bytes_received=counters.bytes_received
            + sum(session.bytes_received for session in self._sessions),
        )

    async def aclose(self) -> None:
        """Abort all associations; operations under way fail with `ConnectionLost`."""
        self._is_closed = True
        for association in tuple(self._sessions.values()):
            await association.close()

    async def _establish(self, association: ThreadedAssociation) -> None:
        """Connect and associate.

        Raises:
            Unreachable, TlsRejected, AssociationRejected, NotNegotiated: As the port says.

        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await association.secure(await sockets.connect(settings.host, settings.port))
        except TimeoutError as error:
            why = f"no connection within {settings.connect_timeout_s:g} s"
            raise Unreachable(why, origin=settings.origin) from error
        except UnicodeError as error:
            raise Unreachable("the host is no name", origin=settings.origin) from error
        except OSError as error:
            why = f"no connection: {system_reason(error)}"
            raise Unreachable(why, origin=settings.origin) from error
        try:
            await association.open()
        except AssociationRejected as error:
            told = self._statistics.rejections
            told[error.message] = told.get(error.message, 0) + 1
            raise
        self._statistics.associations += 1

    def _entered(self, session: PynetdicomSession, association: ThreadedAssociation) -> None:
        self._sessions[session] = association
        counters = self._statistics
        counters.in_flight += 1
        counters.in_flight_peak = max(counters.in_flight_peak, counters.in_flight)

    def _left(self, session: PynetdicomSession) -> None:
        del self._sessions[session]
        counters = self._statistics
        counters.in_flight -= 1
        counters.messages_received += session.messages_received
        counters.bytes_received += session.bytes_received


def silence() -> None:
    """Let pynetdicom log nothing, unless somebody gave its logger a level.

    pydicom, which reads its command sets, warns of values and quotes them; what a peer
    sends is judged by us.
    """
    logger = logging.getLogger("pynetdicom")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.valuerep")
