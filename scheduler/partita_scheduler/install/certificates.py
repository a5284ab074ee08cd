"""Certificates between kube-scheduler and the extender: one CA, one for the server, one for the client.

kube-scheduler sends no token, so the client certificate is all that tells it from anybody else. The CA signs nothing
else and its key may be thrown away: to rotate, make all files anew.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from partita_plugins.errors import InvalidInput, Permanent

VALID_DAYS = 3650
CLOCK_SKEW = timedelta(minutes=5)
FILES = ("ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key")

Key = ec.EllipticCurvePrivateKey


def write_certificates(out: Path, hosts: tuple[str, ...], *, now: datetime | None = None) -> tuple[Path, ...]:
    """Make all files of FILES in a folder, keys readable by their owner alone.

    Raises InvalidInput without a host, and Permanent, with nothing written, where one of the files is there already.
    """
    if not hosts:
        raise InvalidInput(
            "a server certificate needs a name", advice="give --host NAME, as kube-scheduler will call it"
        )
    paths = tuple(out / name for name in FILES)
    taken = [path.name for path in paths if path.exists()]
    if taken:
        raise Permanent(f"{out} already has {', '.join(taken)}", advice="choose another --out, or move them away")
    pems = _pems(hosts, now or datetime.now(UTC))
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in paths:
        _write(path, pems[path.name])
    return paths


def _pems(hosts: tuple[str, ...], now: datetime) -> dict[str, bytes]:
    ca_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca = _ca(ca_key, now)
    server = _leaf("partita-scheduler", server_key, ca, now, ExtendedKeyUsageOID.SERVER_AUTH)
    server = server.add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
    client = _leaf("kube-scheduler", client_key, ca, now, ExtendedKeyUsageOID.CLIENT_AUTH)
    return {
        "ca.crt": _certificate_pem(ca),
        "ca.key": _key_pem(ca_key),
        "server.crt": _certificate_pem(server.sign(ca_key, hashes.SHA256())),
        "server.key": _key_pem(server_key),
        "client.crt": _certificate_pem(client.sign(ca_key, hashes.SHA256())),
        "client.key": _key_pem(client_key),
    }


def _ca(key: Key, now: datetime) -> x509.Certificate:
    name = _name("partita-scheduler CA")
    usage = _usage(signs_certificates=True)
    return (
        _builder(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    common_name: str, key: Key, ca: x509.Certificate, now: datetime, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    return (
        _builder(_name(common_name), ca.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(ca), critical=False)
    )


def _issued_by(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise InvalidInput(f"{host!r} is not a host name", advice="write it in ASCII") from error


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, pem: bytes) -> None:
    # O_EXCL: what appeared since we looked is not overwritten either, and a symbolic link is not followed.
    mode = 0o600 if path.suffix == ".key" else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
