"""What `asyncdicom receive` says when it ends: the codes of dcmrecv; scripts rely on them."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from asyncdicom.errors import AsyncDicomError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ReceiveEnded", "ReceiveExitCode", "failing_as", "with_exit_code"]


class ReceiveExitCode(IntEnum):
    """Exit codes of `receive`."""

    ENDED = 0
    """Ended by a signal, and no object was on its way any more."""
    SYNTAX = 1
    """An option, its value or the configuration file has to be mended first."""
    OUTPUT_FOLDER = 45
    """The output folder is missing, or cannot be written to."""
    CANNOT_LISTEN = 64
    """The address is not ours, or the port is taken."""
    ASSOCIATION_PROFILE = 66
    """The association profile (`--config-file`) cannot be read or used."""
    TLS = 71
    """A key, a certificate or a setting of TLS cannot be used."""
    INTERRUPTED = 130
    """SIGINT, and objects on their way were dropped; their senders know."""
    TERMINATED = 143
    """SIGTERM, and objects on their way were dropped; their senders know."""


class ReceiveEnded(click.ClickException):
    """The command cannot go on."""

    def __init__(self, error: AsyncDicomError, exit_code: ReceiveExitCode) -> None:
        super().__init__(str(error))
        with_exit_code(self, exit_code)

    def show(self, file: object = None) -> None:
        """Say why on stderr."""
        click.echo(f"asyncdicom: {self.message}", err=True)


def with_exit_code(error: click.ClickException, exit_code: int) -> click.ClickException:
    """Give an error another exit code, and return it."""
    error.exit_code = exit_code  # type: ignore[misc]  # -- of the class, says click, and reads this
    return error


@contextmanager
def failing_as(exit_code: ReceiveExitCode) -> Iterator[None]:
    """End with an exit code if the block fails for a reason that the user can mend.

    Raises:
        ReceiveEnded: If it does.

    """
    try:
        yield
    except AsyncDicomError as error:
        raise ReceiveEnded(error, exit_code) from error
