"""The options of `asyncdicom receive`, by the sections in which its help lists them.

Each has a long name; those that DCMTK's dcmrecv has, too, are spelled as there. Each reads
`ASYNCDICOM_RECEIVE_<LONG NAME>` from the environment.
"""

from __future__ import annotations

import click

from asyncdicom.cli.options import Number, together
from asyncdicom.cli.receive_declaring import Section, flag, option
from asyncdicom.cli.receive_tls import TLS_GROUPS, tls_options

__all__ = ["GROUPS", "receive_options"]

GENERAL, NETWORK, OUTPUT, EVENTS = (
    Section.GENERAL,
    Section.NETWORK,
    Section.OUTPUT,
    Section.EVENTS,
)

GROUPS = (
    ("--quiet", "--verbose", "--debug"),
    ("--host", "--ipv4", "--ipv6", "--ip-auto"),
    ("--use-called-aetitle", "--aetitle"),
    *TLS_GROUPS,
    ("--no-subdir", "--series-date-subdir"),
    ("--default-filenames", "--unique-filenames", "--short-unique-names", "--system-time-names"),
    ("--filename-extension", "--extension"),
    ("--normal", "--bit-preserving", "--ignore"),
)
"""Options that exclude each other: the rightmost one on the command line counts."""

_WHOLE_SECONDS = {"type": click.IntRange(1), "metavar": "SECONDS", "show_default": True}
_SECONDS = {"type": Number(0.1), "metavar": "SECONDS", "show_default": True}
_COUNT = {"type": click.IntRange(1), "metavar": "N"}

general_options = together(
    flag(GENERAL, "--arguments", envvar=None, help="Print the arguments as they are understood."),
    flag(
        GENERAL, "-q", "--quiet", help="No messages but what ends the program, and the last line."
    ),
    flag(GENERAL, "-v", "--verbose", help="Say what happens to each association and object."),
    flag(GENERAL, "-d", "--debug", help="Say all that is known of each event."),
    option(
        GENERAL,
        "-ll",
        "--log-level",
        type=click.Choice(["fatal", "error", "warn", "info", "debug", "trace"]),
        help="Least level of messages; not with -q, -v, -d or -lc.",
    ),
    option(
        GENERAL,
        "-lc",
        "--log-config",
        metavar="FILE",
        help="Python logging configuration: TOML or JSON (dictConfig) or INI (fileConfig).",
    ),
    flag(
        GENERAL, "+v", "--verbose-pc", help="Show presentation contexts, with -v, -d or -ll info."
    ),
    flag(GENERAL, "--json", "as_json", help="Events as JSON lines on stdout; with -q the gravest."),
)

network_options = together(
    option(
        NETWORK,
        "--host",
        metavar="ADDRESS",
        default="0.0.0.0",  # noqa: S104 -- as dcmrecv: a receiver is there for others
        show_default=True,
        help="Address to listen on; 127.0.0.1 for this machine alone, :: for IPv6, too.",
    ),
    flag(NETWORK, "-i4", "--ipv4", help="All addresses of IPv4 (default)."),
    flag(NETWORK, "-i6", "--ipv6", help="All addresses of IPv6."),
    flag(NETWORK, "-i0", "--ip-auto", help="All addresses of both."),
    option(
        NETWORK,
        "-xf",
        "--config-file",
        nargs=2,
        type=str,
        metavar="FILE PROFILE",
        help="Accept what an association profile says (DCMTK's asconfig format).",
    ),
    flag(NETWORK, "--promiscuous", help="Accept private and unknown SOP classes, too."),
    flag(
        NETWORK,
        "-uca",
        "--use-called-aetitle",
        help="Answer to any called AE title, with the same (default).",
    ),
    option(
        NETWORK,
        "-aet",
        "--aetitle",
        metavar="AET",
        help="Our AE title: who calls another one is rejected.",
    ),
    option(
        NETWORK,
        "--allow-calling-aet",
        multiple=True,
        metavar="AET",
        help="Let in only who has this AE title (repeat for more).",
    ),
    option(
        NETWORK,
        "--allow-from",
        multiple=True,
        metavar="NETWORK",
        help="Let in only who comes from there: 10.1.0.0/16, ::1 (repeat for more).",
    ),
    option(
        NETWORK,
        "--max-associations",
        **_COUNT,
        default=64,
        show_default=True,
        help="Associations at once; the next is rejected for now.",
    ),
    option(
        NETWORK,
        "--max-associations-per-peer",
        **_COUNT,
        help="The same, of one address (default: no bound of its own).",
    ),
    option(
        NETWORK,
        "-ta",
        "--acse-timeout",
        **_WHOLE_SECONDS,
        default=30,
        help="Seconds that a connection may take to associate.",
    ),
    option(
        NETWORK,
        "-td",
        "--dimse-timeout",
        **_WHOLE_SECONDS,
        default=60,
        help="Seconds that an association may be silent.",
    ),
    option(
        NETWORK,
        "-pdu",
        "--max-pdu",
        type=click.IntRange(4096, 131072),
        metavar="BYTES",
        default=131072,
        show_default=True,
        help="Longest PDU that we take, in bytes.",
    ),
    flag(
        NETWORK,
        "-dhl",
        "--disable-host-lookup",
        help="No effect: peers are never looked up.",
    ),
    option(
        NETWORK,
        "--drain-timeout",
        type=Number(0),
        metavar="SECONDS",
        default=8.0,
        show_default=True,
        help="Seconds that objects on their way have when a signal ends us.",
    ),
    option(
        NETWORK,
        "--dimse-engine",
        type=click.Choice(["native", "pynetdicom"]),
        default="native",
        show_default=True,
        help="DIMSE implementation.",
    ),
)

output_options = together(
    option(
        OUTPUT,
        "-od",
        "--output-directory",
        metavar="DIR",
        default=".",
        show_default=True,
        help="Existing folder to write to.",
    ),
    flag(OUTPUT, "-s", "--no-subdir", help="No subfolders (default)."),
    flag(
        OUTPUT, "+ssd", "--series-date-subdir", help="data/YYYY/MM/DD, or undef/YYYYMMDD (today)."
    ),
    flag(OUTPUT, "+fd", "--default-filenames", help="CT.SOPInstanceUID (default)."),
    flag(OUTPUT, "+fu", "--unique-filenames", help="CT.X.NEWUID."),
    flag(OUTPUT, "+fsu", "--short-unique-names", help="CT_0123456789abcdef."),
    flag(OUTPUT, "+fst", "--system-time-names", help="YYYYMMDDhhmmss.ffffff.CT."),
    option(
        OUTPUT,
        "-fe",
        "--filename-extension",
        metavar="TEXT",
        help="Appended to names as it is (default: nothing).",
    ),
    option(
        OUTPUT,
        "--extension",
        metavar="EXTENSION",
        help="The same, with a dot if it has none (default of --layout and -I: .dcm).",
    ),
    option(
        OUTPUT,
        "-l",
        "--layout",
        metavar="LAYOUT",
        help="Names as of get: flat, tree, or a template like {PatientID}/{Modality}.",
    ),
    flag(OUTPUT, "-I", "--iso-9660", help="Folders of 8 characters, files IM000001, IM000002, ..."),
    flag(OUTPUT, "-B", "--normal", help="Bytes as received (default; nothing is converted)."),
    flag(OUTPUT, "+B", "--bit-preserving", help="The same, said aloud."),
    flag(OUTPUT, "--ignore", help="Take objects and drop them."),
    option(
        OUTPUT,
        "--duplicates",
        type=click.Choice(["overwrite", "skip", "keep-both"]),
        help="Where a name is taken: replace in one step (default), keep the same once, keep both.",
    ),
    option(
        OUTPUT,
        "--durability",
        type=click.Choice(["none", "batch", "full"]),
        default="batch",
        show_default=True,
        help="What success promises when the power fails: nothing, or synced (in groups, alone).",
    ),
    option(
        OUTPUT,
        "--min-free",
        metavar="BYTES",
        help="Refuse objects (A700) while less is free: 500M, 2G.",
    ),
    flag(
        OUTPUT, "--keep-doubtful", help="Keep, with a remark, images without pixels and the like."
    ),
)

event_options = together(
    option(
        EVENTS,
        "--metrics",
        metavar="[HOST:]PORT",
        help="Serve counters for Prometheus on http://HOST:PORT/metrics (HOST: 127.0.0.1).",
    ),
    option(EVENTS, "--on-object", metavar="CMD", help="Run for each object stored; see below."),
    option(EVENTS, "--on-association", metavar="CMD", help="Run for each association ended."),
    option(EVENTS, "--on-study", metavar="CMD", help="Run for each study that is complete."),
    option(
        EVENTS,
        "--study-idle",
        **_SECONDS,
        default=10.0,
        help="Seconds without an object of a study before it is complete.",
    ),
    option(
        EVENTS,
        "--hook-timeout",
        **_SECONDS,
        default=60.0,
        help="Seconds that a command may run.",
    ),
    option(
        EVENTS,
        "--hooks-at-once",
        **_COUNT,
        default=4,
        show_default=True,
        help="Commands at once; the others wait.",
    ),
)

receive_options = together(
    general_options, network_options, tls_options, output_options, event_options
)
