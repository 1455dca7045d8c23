"""An embedded archive with faults on demand, for demos, tests and people who test clients.

async with MockServer(SyntheticArchive(SyntheticOptions(studies=2))) as server:
    print(server.url)
"""

from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.mock.dimse import DimseOptions, DimseServer
from asyncdicom.mock.faults import Fault, FaultPlan, parse_fault
from asyncdicom.mock.folder import FolderArchive
from asyncdicom.mock.s3 import S3Options
from asyncdicom.mock.s3_server import S3Server
from asyncdicom.mock.server import MockServer, ServerOptions
from asyncdicom.mock.synthetic import SyntheticArchive, SyntheticOptions

__all__ = [
    "DimseOptions",
    "DimseServer",
    "Fault",
    "FaultPlan",
    "FolderArchive",
    "MockServer",
    "S3Options",
    "S3Server",
    "ServerOptions",
    "SyntheticArchive",
    "SyntheticOptions",
    "WebOptions",
    "parse_fault",
]
