"""TLS as the options of `asyncdicom receive` ask for it, which are those of dcmrecv."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.options import together
from asyncdicom.cli.receive_declaring import Section, chosen, flag, option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.transports.associations.acceptor_tls import AcceptorTls, Revocation
    from asyncdicom.transports.associations.tls_profiles import TlsProfile

__all__ = ["TLS_GROUPS", "acceptor_tls", "check_tls", "tls_options"]

TLS = Section.TLS

TLS_PROFILES = {
    "profile_8996": ("+pg", "BCP 195 RFC 8996: TLS 1.2 and 1.3 (default)."),
    "profile_8996_mod": ("+pm", "Modified BCP 195 RFC 8996: more suites, stronger certificates."),
    "profile_bcp195_nd": ("+py", "Non-downgrading BCP 195 (retired)."),
    "profile_bcp195": ("+px", "BCP 195 (retired): refused, with the reason."),
    "profile_bcp195_ex": ("+pz", "Extended BCP 195 (retired): TLS 1.2 alone."),
    "profile_basic": ("+pb", "Basic, 3DES (retired): refused, with the reason."),
    "profile_aes": ("+pa", "AES (retired): refused, with the reason."),
    "profile_null": ("+pn", "Not encrypted (retired): refused, with the reason."),
}
"""Name of the option, by DCMTK's spelling, and what it asks for."""

TLS_GROUPS = (
    ("--disable-tls", "--enable-tls"),
    ("--std-passwd", "--use-passwd", "--null-passwd"),
    ("--pem-keys", "--der-keys"),
    tuple("--" + name.replace("_", "-") for name in TLS_PROFILES),
    ("--no-sni", "--expect-sni"),
    ("--require-peer-cert", "--verify-peer-cert", "--ignore-peer-cert"),
)
"""Options that exclude each other."""

NEEDS_TLS = (
    *("std_passwd", "use_passwd", "null_passwd", "pem_keys", "der_keys"),
    *("add_cert_file", "add_cert_dir", "add_crl_file", "enable_crl_vfy", "enable_crl_all"),
    *TLS_PROFILES,
    *("cipher", "dhparam", "no_sni", "expect_sni", "seed", "write_seed", "write_seed_file"),
    *("require_peer_cert", "verify_peer_cert", "ignore_peer_cert"),
)
"""What says nothing without `--enable-tls`."""


def _list_suites(ctx: click.Context, _param: click.Parameter, is_wanted: bool) -> None:  # noqa: FBT001 -- as click calls
    """List the cipher suites that `--cipher` knows, and end."""
    if not is_wanted or ctx.resilient_parsing:
        return
    from asyncdicom.transports.associations.cipher_suites import list_ciphers  # noqa: PLC0415 -- help must not pay for it

    for suite in list_ciphers():
        click.echo(f"{suite.name} ({suite.version})")
    ctx.exit()


def _list_profiles(ctx: click.Context, _param: click.Parameter, is_wanted: bool) -> None:  # noqa: FBT001 -- as above
    """List the profiles, and why some are refused, and end."""
    if not is_wanted or ctx.resilient_parsing:
        return
    from asyncdicom.errors import ConfigError  # noqa: PLC0415 -- as above
    from asyncdicom.transports.associations.tls_profiles import rules_of  # noqa: PLC0415 -- as above

    for name, (spelling, meaning) in TLS_PROFILES.items():
        told = meaning
        try:
            rules_of(_profile({one: one == name for one in TLS_PROFILES}))
        except ConfigError as error:
            told = f"{error.message}."
        click.echo(f"{spelling} --{name.replace('_', '-')}: {told}")
    ctx.exit()


tls_options = together(
    flag(TLS, "-tls", "--disable-tls", help="Plain TCP (default)."),
    option(
        TLS,
        "+tls",
        "--enable-tls",
        nargs=2,
        type=str,
        metavar="KEY CERT",
        help="TLS with this private key and certificate.",
    ),
    flag(TLS, "+ps", "--std-passwd", help="Ask for the password of the key (default)."),
    option(TLS, "+pw", "--use-passwd", metavar="PASSWORD", help="Password of the key."),
    flag(TLS, "-pw", "--null-passwd", help="The password of the key is empty."),
    flag(TLS, "-pem", "--pem-keys", help="Keys and certificates are PEM (which is noticed)."),
    flag(TLS, "-der", "--der-keys", help="Keys and certificates are DER (which is noticed)."),
    option(
        TLS,
        "+cf",
        "--add-cert-file",
        multiple=True,
        metavar="FILE",
        help="Certificates of authorities that vouch for clients.",
    ),
    option(
        TLS,
        "+cd",
        "--add-cert-dir",
        multiple=True,
        metavar="DIR",
        help="A folder of such files.",
    ),
    option(
        TLS,
        "+crl",
        "--add-crl-file",
        multiple=True,
        metavar="FILE",
        help="Certificate revocation list; implies --enable-crl-vfy.",
    ),
    flag(TLS, "+crv", "--enable-crl-vfy", help="Look up the certificate of the client in them."),
    flag(TLS, "+cra", "--enable-crl-all", help="Look up the whole chain in them."),
    *(
        flag(TLS, spelling, "--" + name.replace("_", "-"), help=meaning)
        for name, (spelling, meaning) in TLS_PROFILES.items()
    ),
    flag(
        TLS,
        "+ph",
        "--list-profiles",
        envvar=None,
        is_eager=True,
        expose_value=False,
        callback=_list_profiles,
        help="List the security profiles, and end.",
    ),
    flag(
        TLS,
        "+cc",
        "--list-ciphers",
        envvar=None,
        is_eager=True,
        expose_value=False,
        callback=_list_suites,
        help="List the cipher suites that +cs knows, and end.",
    ),
    option(
        TLS, "+cs", "--cipher", multiple=True, metavar="NAME", help="Add a cipher suite of TLS 1.2."
    ),
    option(TLS, "+dp", "--dhparam", metavar="FILE", help="Diffie-Hellman parameters."),
    flag(TLS, "--no-sni", help="Let clients ask for any host name (default)."),
    option(
        TLS,
        "--expect-sni",
        metavar="NAME",
        help="Refuse clients that do not ask for this host name.",
    ),
    option(TLS, "+rs", "--seed", metavar="FILE", help="No effect: OpenSSL seeds itself."),
    flag(TLS, "+ws", "--write-seed", help="No effect; with --seed only."),
    option(TLS, "+wf", "--write-seed-file", metavar="FILE", help="No effect; with --seed only."),
    flag(TLS, "-rc", "--require-peer-cert", help="Clients need a certificate (default)."),
    flag(TLS, "-vc", "--verify-peer-cert", help="Verify the certificate of a client that has one."),
    flag(TLS, "-ic", "--ignore-peer-cert", help="Do not look at certificates of clients."),
)


def acceptor_tls(options: Mapping[str, Any]) -> AcceptorTls | None:
    """Return what the options ask of TLS, or None for plain TCP.

    Raises:
        click.UsageError: If an option says something about TLS, and there is none; or about
            a seed that is not given.

    """
    if options["enable_tls"] is None:
        _refuse_tls_options(options)
        return None
    if options["seed"] is None and (options["write_seed"] or options["write_seed_file"]):
        raise click.UsageError("--write-seed and --write-seed-file need --seed")
    from asyncdicom.transports.associations.acceptor_tls import (  # noqa: PLC0415 -- help must not pay for it
        AcceptorTls,
        PeerCertificate,
    )

    key, certificate = map(Path, options["enable_tls"])
    return AcceptorTls(
        key_file=key,
        cert_file=certificate,
        password=_password(options, key),
        ca_files=_paths(options["add_cert_file"]),
        ca_folders=_paths(options["add_cert_dir"]),
        crl_files=_paths(options["add_crl_file"]),
        revocation=_revocation(options),
        profile=_profile(options),
        suites=options["cipher"],
        dh_file=None if options["dhparam"] is None else Path(options["dhparam"]),
        expected_sni=options["expect_sni"],
        peer_certificate=chosen(
            options,
            {
                "verify_peer_cert": PeerCertificate.VERIFY,
                "ignore_peer_cert": PeerCertificate.IGNORE,
            },
            PeerCertificate.REQUIRE,
        ),
    )


def check_tls(tls: AcceptorTls, options: Mapping[str, Any]) -> list[str]:
    """Read keys and certificates, and return what the user should know about them.

    Raises:
        ConfigError: If something cannot be used.

    """
    from asyncdicom.transports.associations.acceptor_tls import (  # noqa: PLC0415 -- as above
        RANDOM_SEED_NOTE,
        acceptor_context,
    )

    acceptor_context(tls)
    return [*tls.warnings, *([RANDOM_SEED_NOTE] if options["seed"] is not None else [])]


def _refuse_tls_options(options: Mapping[str, Any]) -> None:
    name = next((name for name in NEEDS_TLS if options[name] not in (None, False, ())), None)
    if name is not None:
        raise click.UsageError(f"--{name.replace('_', '-')} needs --enable-tls KEY CERT")


def _password(options: Mapping[str, Any], key: Path) -> str | Callable[[], str]:
    if options["use_passwd"] is not None:
        return str(options["use_passwd"])
    if options["null_passwd"]:
        return ""
    return functools.cache(lambda: _asked_password(key))


def _asked_password(key: Path) -> str:
    """Ask a person; a program writes it to stdin."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = click.prompt(f"password of {key}", hide_input=True, err=True)
    return answer


def _revocation(options: Mapping[str, Any]) -> Revocation:
    from asyncdicom.transports.associations.acceptor_tls import Revocation  # noqa: PLC0415 -- as above

    if options["enable_crl_all"]:
        return Revocation.CHAIN
    if options["enable_crl_vfy"] or options["add_crl_file"]:
        return Revocation.LEAF
    return Revocation.NONE


def _profile(options: Mapping[str, Any]) -> TlsProfile:
    from asyncdicom.transports.associations.tls_profiles import TlsProfile  # noqa: PLC0415 -- as above

    profiles = {
        "profile_8996_mod": TlsProfile.RFC8996_MODIFIED,
        "profile_bcp195_nd": TlsProfile.NON_DOWNGRADING,
        "profile_bcp195": TlsProfile.BCP195,
        "profile_bcp195_ex": TlsProfile.EXTENDED,
        "profile_basic": TlsProfile.BASIC,
        "profile_aes": TlsProfile.AES,
        "profile_null": TlsProfile.NULL,
    }
    return chosen(options, profiles, TlsProfile.RFC8996)


def _paths(names: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(map(Path, names))
