"""What the process says when it ends; scripts rely on it."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """Exit codes of every command but `receive`."""

    COMPLETE = 0
    """Everything asked for is stored and proven."""
    INCOMPLETE = 1
    """Finished, but something failed or is missing; it is named."""
    USAGE = 2
    """An option, the configuration or a path has to be mended first."""
    ABORTED = 3
    """Stopped by `--abort`, `--max-errors` or `--max-error-rate`."""
    NO_MATCH = 4
    """Nothing matched."""
    UNREACHABLE = 5
    """The source was unreachable, or refused us, before any work was done."""
    INTERRUPTED = 130
    """SIGINT, after an orderly stop."""
    TERMINATED = 143
    """SIGTERM, after an orderly stop."""
