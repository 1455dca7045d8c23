"""Move DICOM studies at high concurrency, and prove that nothing is missing.

    async with asyncdicom.connect("https://pacs.example/dicom-web") as source:
        async for instance in source.retrieve(study="1.2.840.99.1"):
            ...

Names are imported when they are used, so that importing the package costs
nothing to those who want one of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from asyncdicom._version import __version__

if TYPE_CHECKING:
    from asyncdicom.errors import (
        AssociationAborted,
        AssociationRejected,
        AsyncDicomError,
        ConfigError,
        ConnectionLost,
        ContentError,
        DigestMismatch,
        DiskFull,
        Doubtful,
        FetchError,
        Incomplete,
        InvalidUid,
        LimitExceeded,
        NameTaken,
        NotAcceptable,
        NotFound,
        NotNegotiated,
        ObjectChanged,
        OperationFailed,
        OriginError,
        ProtocolError,
        RedirectRefused,
        RunAborted,
        Stalled,
        StorageError,
        Throttled,
        TlsRejected,
        TransportError,
        Truncated,
        UidMismatch,
        Unauthorized,
        UnexpectedContent,
        Unreachable,
        UnsafeName,
        UsageError,
    )
    from asyncdicom.events import (
        Event,
        Finished,
        Listed,
        Planned,
        Remarked,
        Retrying,
        RunEnded,
        Withdrawn,
    )
    from asyncdicom.library.client import Source, connect
    from asyncdicom.library.cod import (
        BucketDetails,
        CodDownload,
        DownloadStats,
        SeriesStats,
        StudyStats,
    )
    from asyncdicom.library.idc import (
        IdcManifestOptions,
        IdcOptions,
        IdcSelectionOptions,
        download_from_manifest,
        download_from_selection,
    )
    from asyncdicom.library.idc_client import IDCClient
    from asyncdicom.library.idc_running import IdcResult
    from asyncdicom.library.idc_table import IdcColumn, IdcTable
    from asyncdicom.library.instance import Instance
    from asyncdicom.library.job import Job
    from asyncdicom.library.object_list import ListedObject
    from asyncdicom.library.objects import ObjectSource, connect_objects
    from asyncdicom.library.options import (
        ConnectOptions,
        DownloadOptions,
        DumpOptions,
        ObjectConnectOptions,
        ObjectDownloadOptions,
        ObjectListOptions,
        ObjectVerifyOptions,
        RetrieveOptions,
    )
    from asyncdicom.library.receiving import ReceiveOptions, Receiving, receive
    from asyncdicom.library.reporting import Downloaded, Extracted, Progress
    from asyncdicom.model import (
        AnyTarget,
        Failed,
        ObjectTarget,
        Outcome,
        Resource,
        Skipped,
        Stored,
        Target,
        Uid,
    )
    from asyncdicom.receiver.events import (
        AssociationBegan,
        AssociationEnded,
        AssociationRefused,
        Caller,
        ConnectionFailed,
        DuplicateFate,
        HookFailed,
        InstanceDuplicated,
        InstanceRefused,
        InstanceStored,
        Listening,
        ReceiverEnded,
        ReceiverEvent,
        StudyCompleted,
    )

__all__ = [  # noqa: RUF022 -- by module, and sorted case-insensitively there
    # _version
    "__version__",
    # errors
    "AssociationAborted",
    "AssociationRejected",
    "AsyncDicomError",
    "ConfigError",
    "ConnectionLost",
    "ContentError",
    "DigestMismatch",
    "DiskFull",
    "Doubtful",
    "FetchError",
    "Incomplete",
    "InvalidUid",
    "LimitExceeded",
    "NameTaken",
    "NotAcceptable",
    "NotFound",
    "NotNegotiated",
    "ObjectChanged",
    "OperationFailed",
    "OriginError",
    "ProtocolError",
    "RedirectRefused",
    "RunAborted",
    "Stalled",
    "StorageError",
    "Throttled",
    "TlsRejected",
    "TransportError",
    "Truncated",
    "UidMismatch",
    "Unauthorized",
    "UnexpectedContent",
    "Unreachable",
    "UnsafeName",
    "UsageError",
    # events
    "Event",
    "Finished",
    "Listed",
    "Planned",
    "Remarked",
    "Retrying",
    "RunEnded",
    "Withdrawn",
    # library.client
    "connect",
    "Source",
    # library.cod
    "BucketDetails",
    "CodDownload",
    "DownloadStats",
    "SeriesStats",
    "StudyStats",
    # library.idc
    "download_from_manifest",
    "download_from_selection",
    "IdcManifestOptions",
    "IdcOptions",
    "IdcSelectionOptions",
    # library.idc_client
    "IDCClient",
    # library.idc_running
    "IdcResult",
    # library.idc_table
    "IdcColumn",
    "IdcTable",
    # library.instance
    "Instance",
    # library.job
    "Job",
    # library.object_list
    "ListedObject",
    # library.objects
    "connect_objects",
    "ObjectSource",
    # library.options
    "ConnectOptions",
    "DownloadOptions",
    "DumpOptions",
    "ObjectConnectOptions",
    "ObjectDownloadOptions",
    "ObjectListOptions",
    "ObjectVerifyOptions",
    "RetrieveOptions",
    # library.receiving
    "receive",
    "ReceiveOptions",
    "Receiving",
    # library.reporting
    "Downloaded",
    "Extracted",
    "Progress",
    # model
    "AnyTarget",
    "Failed",
    "ObjectTarget",
    "Outcome",
    "Resource",
    "Skipped",
    "Stored",
    "Target",
    "Uid",
    # receiver.events
    "AssociationBegan",
    "AssociationEnded",
    "AssociationRefused",
    "Caller",
    "ConnectionFailed",
    "DuplicateFate",
    "HookFailed",
    "InstanceDuplicated",
    "InstanceRefused",
    "InstanceStored",
    "Listening",
    "ReceiverEnded",
    "ReceiverEvent",
    "StudyCompleted",
]

# Cheapest first: whoever wants an error does not import a client.
_HOMES = (
    "errors",
    "model",
    "events",
    "library.instance",
    "library.options",
    "library.reporting",
    "library.job",
    "library.client",
    "library.cod",
    "library.object_list",
    "library.objects",
    "receiver.events",
    "library.receiving",
    "library.idc_table",
    "library.idc_running",
    "library.idc",
    "library.idc_client",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"asyncdicom.{home}")
            if name in module.__all__:
                found = globals()[name] = getattr(module, name)
                return found
    raise AttributeError(f"module 'asyncdicom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
