"""The S3 face of an archive on a port.

async with S3Server(archive, faults=["503:object:times=1"]) as server:
    ...  # ask server.url; then look at server.requests
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.mock.s3 import S3Face, S3Options
from asyncdicom.mock.s3_faults import S3Plan
from asyncdicom.mock.server import HttpServer, ServerOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.mock.archive import Archive
    from asyncdicom.mock.faults import Fault

__all__ = ["S3Server"]


class S3Server(HttpServer):
    """An archive as a bucket.

    Args:
        archive: What it serves.
        faults: What goes wrong, and when; text is read as `s3_faults` describes.
        tls: Whether it speaks TLS, with a certificate of its own authority.
        s3: How its S3 face behaves.
        options: Where and how it listens.

    """

    def __init__(
        self,
        archive: Archive,
        *,
        faults: Iterable[Fault | str] = (),
        tls: bool = False,
        s3: S3Options | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        self.s3 = S3Face(archive, s3)
        super().__init__(self.s3, S3Plan(faults), tls=tls, options=options)

    @property
    def url(self) -> str:
        """The endpoint: what `--endpoint-url` wants to hear."""
        return self.origin

    @property
    def bucket_url(self) -> str:
        """The bucket, as a source is named: `s3://dicom/`."""
        return f"s3://{self.s3.options.bucket}/"
