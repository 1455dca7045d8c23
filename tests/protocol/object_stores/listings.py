"""Answers of ListObjectsV2 and of the JSON interface, written for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["s3_listing"]

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def s3_listing(
    keys: Sequence[str] = (),
    *,
    prefixes: Sequence[str] = (),
    token: str | None = None,
    is_encoded: bool = True,
    namespace: str = NAMESPACE,
) -> bytes:
    """Return a page as Amazon writes it; each object is as large as its name is long."""

    def name(key: str) -> str:
        return quote_plus(key, safe="/*") if is_encoded else escape(key)

    objects = "".join(
        f"<Contents><Key>{name(key)}</Key><LastModified>2023-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>&quot;{len(key):032x}&quot;</ETag><Size>{len(key)}</Size>"
        "<Owner><ID>1</ID><DisplayName>x</DisplayName></Owner>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys
    )
    common = "".join(
        f"<CommonPrefixes><Prefix>{name(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes
    )
    more = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    coding = "<EncodingType>url</EncodingType>" if is_encoded else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{namespace}><Name>b</Name>'
        f"<Prefix></Prefix><MaxKeys>1000</MaxKeys>{coding}"
        f"<IsTruncated>{'false' if token is None else 'true'}</IsTruncated>"
        f"{more}{objects}{common}</ListBucketResult>"
    ).encode()
