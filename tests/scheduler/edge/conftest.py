"""Servers and certificates for tests on real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_scheduler.extender import create_app
from partita_scheduler.http.address import Address
from partita_scheduler.http.server import ExtenderServer
from partita_scheduler.http.tls import Tls
from partita_scheduler.install.certificates import write_certificates
from tests.scheduler.edge.fakes import FixedPolicy, World
from tests.scheduler.edge.https import MAX_BODY, Start


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pki") / "made"
    write_certificates(out, ("127.0.0.1", "localhost"))
    return out


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[ExtenderServer] = []

    def begin(tls: Tls | None = None, *, threads: int = 4, policy: FixedPolicy | None = None) -> Address:
        parts = World(policy or FixedPolicy(fits=("b",))).parts
        server = ExtenderServer(
            create_app(parts, max_body_bytes=MAX_BODY),
            Address(host="127.0.0.1", port=0),
            tls=tls,
            max_body_bytes=MAX_BODY,
            threads=threads,
            quick=parts.verbs.quick,
        )
        address = server.bind()
        servers.append(server)
        threading.Thread(target=server.serve, daemon=True).start()
        return address

    yield begin
    for server in servers:
        server.stop()
