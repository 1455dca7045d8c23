"""Spread requests or bytes over time: a token bucket as arithmetic, without a clock."""

from __future__ import annotations

__all__ = ["Pacer"]

BURST_S = 0.25
"""How much unused allowance may pile up, in seconds: enough for one large read."""


class Pacer:
    """Tells how long to wait so that a rate is not exceeded.

    Args:
        rate_per_s: Units (requests, bytes) per second, above 0.

    """

    def __init__(self, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._paid_until_s = float("-inf")

    def delay_s(self, amount: float, *, now_s: float) -> float:
        """Book an amount and return the seconds to wait before (or after) it.

        Args:
            amount: Units to spend.
            now_s: Reading of any steady clock, in seconds.

        """
        start_s = max(self._paid_until_s, now_s - BURST_S)
        self._paid_until_s = start_s + amount / self.rate_per_s
        return max(self._paid_until_s - now_s, 0.0)
