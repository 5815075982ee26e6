"""Certificates of listeners: what is read, what is refused and in which words, and how long one holds."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.certificates import (
    Certificate,
    Validity,
    check_certificates,
    read_certificates,
    server_context,
    validity,
)
from gateway.config import Config, read
from gateway.errors import StartupError
from tests.certificates import authority
from tests.core.as_nobody import as_nobody, let_everybody_into

NOW = datetime.now(UTC)
CONFIG = """\
[[listener]]
name = "mx"
address = "127.0.0.1:0"
{settings}
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
"""


def config(**settings: object) -> Config:
    lines = [f'{key} = "{value}"' for key, value in ({"tls": "required"} | settings).items()]
    return read(CONFIG.format(settings="\n".join(lines)), "s.toml")


def with_files(directory: Path, **settings: object) -> Config:
    """A listener with a good certificate and its key."""
    certificate, key = authority().write(directory)
    return config(tls_certificate=certificate, tls_key=key, **settings)


def refused(found: Config) -> str:
    with pytest.raises(StartupError) as raised:
        check_certificates(found, read_certificates(found), NOW)
    return str(raised.value)


def test_good_files_serve(tmp_path: Path) -> None:
    found = with_files(tmp_path)
    (certificate,) = read_certificates(found)
    check_certificates(found, (certificate,), NOW)
    (listener,) = found.listeners
    context = server_context(listener, certificate)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    names = {str(suite["name"]) for suite in context.get_ciphers()}
    assert all(name.startswith(("TLS_", "ECDHE-")) and ("GCM" in name or "CHACHA20" in name) for name in names), names


def test_settings_of_tls(tmp_path: Path) -> None:
    (tmp_path / "clients.pem").write_text(authority().pem)
    found = with_files(tmp_path, tls_min_version="1.3", tls_client_ca=tmp_path / "clients.pem")
    (certificate,) = read_certificates(found)
    context = server_context(found.listeners[0], certificate)
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED)
    assert len(context.get_ca_certs()) == 1


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    certificate, key = authority().write(tmp_path)
    key.write_bytes(key.read_bytes() + certificate.read_bytes())
    found = config(tls_certificate=key)
    check_certificates(found, read_certificates(found), NOW)


def test_without_tls_nothing_is_read() -> None:
    assert read_certificates(config(tls="none")) == ()


def missing(directory: Path) -> None:
    (directory / "gw.pem").unlink()


def missing_key(directory: Path) -> None:
    (directory / "gw.key").unlink()


def a_directory(directory: Path) -> None:
    missing(directory)
    (directory / "gw.pem").mkdir()


def open_to_everybody(directory: Path) -> None:
    (directory / "gw.key").chmod(0o644)


def another_key(directory: Path) -> None:
    (directory / "gw.key").write_bytes(authority().issue().private_key_pem.bytes())


def expired(directory: Path) -> None:
    authority().write(directory, leaf=authority().issue(days=-1, since_days=40))


def not_yet(directory: Path) -> None:
    authority().write(directory, leaf=authority().issue(since_days=-2))


def nonsense(directory: Path) -> None:
    (directory / "gw.pem").write_text("nonsense")


def spoilt(directory: Path) -> None:
    (directory / "gw.pem").write_text("-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n")


def no_key(directory: Path) -> None:
    (directory / "gw.key").write_text("nonsense")


def encrypted(directory: Path) -> None:
    key = load_pem_private_key((directory / "gw.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (directory / "gw.key").write_bytes(locked)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (missing, 'listener "mx", tls_certificate {}/gw.pem: No such file or directory'),
        (missing_key, 'listener "mx", tls_key {}/gw.key: No such file or directory'),
        (a_directory, 'listener "mx", tls_certificate {}/gw.pem: Is a directory'),
        (
            open_to_everybody,
            (
                'listener "mx", tls_key {0}/gw.key: every account of this machine may read the key; '
                "run: chmod o-rwx {0}/gw.key"
            ),
        ),
        (another_key, 'listener "mx", tls_key {}/gw.key: the key does not belong to the certificate'),
        (expired, 'listener "mx", tls_certificate {}/gw.pem: expired on '),
        (not_yet, 'listener "mx", tls_certificate {}/gw.pem: is valid from '),
        (nonsense, 'listener "mx", tls_certificate {}/gw.pem: no certificate in PEM form in it'),
        (spoilt, 'listener "mx", tls_certificate {}/gw.pem: no certificate in PEM form in it'),
        (no_key, 'listener "mx", tls_certificate {}/gw.pem: certificate and key do not serve: '),
        (encrypted, 'listener "mx", tls_key {}/gw.key: the key is encrypted, and nobody is there to type its password'),
    ],
)
def test_c5_files_that_do_not_serve(tmp_path: Path, spoil: Callable[[Path], None], expected: str) -> None:
    found = with_files(tmp_path)
    spoil(tmp_path)
    said = refused(found)
    assert said.startswith(expected.format(tmp_path))
    assert "\n" not in said
    assert "PRIVATE KEY" not in said


def test_c5_every_listener_is_named(tmp_path: Path) -> None:
    text = CONFIG.format(settings=f'tls = "implicit"\ntls_certificate = "{tmp_path}/a"\n')
    text += '[[listener]]\nname = "second"\naddress = "127.0.0.1:1"\ntls = "starttls"\ntls_certificate = "/b"\n'
    said = refused(read(text, "s.toml"))
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        f'listener "mx", tls_certificate {tmp_path}/a',
        'listener "second", tls_certificate /b',
    ]


def test_an_authority_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "clients.pem").write_text("nonsense")
    said = refused(with_files(tmp_path, tls_client_ca=tmp_path / "clients.pem"))
    assert said.startswith(f'listener "mx", tls_client_ca {tmp_path}/clients.pem: no certificate in it')


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_c5_a_key_that_may_not_be_read(tmp_path: Path) -> None:
    found = with_files(tmp_path)
    let_everybody_into(tmp_path)
    (tmp_path / "gw.pem").chmod(0o644)
    said = as_nobody(lambda: str(read_certificates(found)))
    assert said == f'listener "mx", tls_key {tmp_path}/gw.key: user nobody cannot read it: Permission denied'


@pytest.mark.parametrize("days", [0.5, 30, 365 * 30, 365 * 60])
def test_the_dates_are_those_of_the_certificate(days: float) -> None:
    """With four digits for the year from 2050 on (RFC 5280 4.1.2.5)."""
    leaf = authority().issue(days=days, since_days=3)
    pem = leaf.cert_chain_pems[0].bytes().decode()
    found = validity(config(tls_certificate="x").listeners[0], Certificate("mx", f"text\n{pem}", ""))
    assert abs(found.ends - NOW - timedelta(days=days)) < timedelta(minutes=10)
    assert abs(NOW - found.begins - timedelta(days=3)) < timedelta(minutes=10)


def test_validity() -> None:
    holds = Validity(NOW - timedelta(days=1), NOW + timedelta(days=1))
    assert holds.problem(NOW) == ""
    assert holds.problem(holds.ends).startswith("expired on ")
    assert holds.problem(NOW - timedelta(days=2)).endswith("only; check the clock")
