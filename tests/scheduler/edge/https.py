"""Clients with certificates and without."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from pathlib import Path

from partita_scheduler.http.address import Address
from partita_scheduler.http.tls import Tls

Start = Callable[..., Address]
MAX_BODY = 100_000


def tls_of(pki: Path) -> Tls:
    return Tls(certificate=pki / "server.crt", key=pki / "server.key", client_ca=pki / "ca.crt")


def client_context(pki: Path, *, certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    if certificate:
        context.load_cert_chain(pki / "client.crt", pki / "client.key")
    return context


def post(connection: http.client.HTTPConnection, verb: str, raw: bytes) -> tuple[int, bytes]:
    connection.request("POST", f"/{verb}", raw)
    answer = connection.getresponse()
    return answer.status, answer.read()
