"""The state transition table of the upper layer (PS3.8 Table 9-10), as data."""

from __future__ import annotations

from enum import Enum

__all__ = ["State"]


class State(Enum):
    """States of an association (PS3.8 §9.2.1)."""

    STA1 = "idle"
    STA2 = "transport connection open, awaiting A-ASSOCIATE-RQ"
    STA3 = "awaiting local A-ASSOCIATE response"
    STA4 = "awaiting transport connection opening to complete"
    STA5 = "awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ"
    STA6 = "association established, ready for data transfer"
    STA7 = "awaiting A-RELEASE-RP"
    STA8 = "awaiting local A-RELEASE response"
    STA9 = "release collision, requestor side; awaiting local A-RELEASE response"
    STA10 = "release collision, acceptor side; awaiting A-RELEASE-RP"
    STA11 = "release collision, requestor side; awaiting A-RELEASE-RP"
    STA12 = "release collision, acceptor side; awaiting local A-RELEASE response"
    STA13 = "awaiting transport connection close indication"
