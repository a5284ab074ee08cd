"""Mutual TLS on real sockets: who is let in, slow handshakes, renewed certificates."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import stat
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cheroot.errors import FatalSSLAlert

from partita_plugins.errors import InvalidInput, Permanent
from partita_scheduler.http.address import Address
from partita_scheduler.http.server import ExtenderServer
from partita_scheduler.http.tls import Adapter, Tls
from partita_scheduler.install.certificates import write_certificates
from tests.scheduler.edge.fakes import body, make_pod
from tests.scheduler.edge.https import Start, client_context, post, tls_of
from tests.waiting import WAIT_SECONDS


def test_a_client_with_a_certificate_is_answered_over_tls(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=True)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    status, raw = post(connection, "filter", body(make_pod(), "a", "b"))
    assert status == 200
    assert b'"NodeNames":["a","b"]' in raw
    connection.close()


def test_a_client_without_a_certificate_is_refused(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=False)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_a_client_of_another_ca_is_refused(start: Start, pki: Path, tmp_path: Path) -> None:
    write_certificates(tmp_path / "other", ("127.0.0.1",))
    address = start(tls_of(pki))
    context = client_context(pki, certificate=False)
    context.load_cert_chain(tmp_path / "other" / "client.crt", tmp_path / "other" / "client.key")
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_the_server_certificate_is_no_client_certificate(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=False)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_tls_older_than_1_2_is_refused(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=True)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_a_client_that_never_ends_its_handshake_keeps_nobody_waiting(start: Start, pki: Path) -> None:
    """The server lets go of such a client after ten seconds."""
    address = start(tls_of(pki))
    with (
        socket.create_connection((address.host, address.port)) as silent,
        socket.create_connection((address.host, address.port)) as halfway,
    ):
        halfway.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        context = client_context(pki, certificate=True)
        connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
        assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
        connection.close()
        silent.close()


def test_more_half_open_clients_than_threads_only_delay(start: Start, pki: Path) -> None:
    address = start(tls_of(pki), threads=2)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            halfway = stack.enter_context(socket.create_connection((address.host, address.port)))
            halfway.sendall(b"\x16\x03\x01\x02\x00\x01")
        context = client_context(pki, certificate=True)
        connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=9)
        assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
        connection.close()


def test_a_client_that_has_left_before_it_is_greeted_is_no_error_of_ours(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"\x16\x03\x01")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left, _ = listener.accept()
        with left, pytest.raises(FatalSSLAlert):
            Adapter(tls_of(pki)).wrap(left)


def test_an_answer_after_the_connection_was_cut_is_still_encrypted(pki: Path) -> None:
    """A stop, or a deadline, cuts connections while their workers decide."""
    context = client_context(pki, certificate=True)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as beside:
        dialled = socket.create_connection(listener.getsockname(), timeout=WAIT_SECONDS)
        client = beside.submit(context.wrap_socket, dialled, server_hostname="127.0.0.1")
        accepted, _ = listener.accept()
        server, _ = Adapter(tls_of(pki)).wrap(accepted)
        server.do_handshake()
        with client.result(WAIT_SECONDS) as reader, server:
            server.shutdown(socket.SHUT_RD)
            server.sendall(b"node-a")
            assert reader.recv(100) == b"node-a"


def test_renewed_certificates_count_from_the_next_connection_on(start: Start, tmp_path: Path) -> None:
    write_certificates(tmp_path / "in-use", ("127.0.0.1",))
    write_certificates(tmp_path / "renewed", ("127.0.0.1",))
    address = start(tls_of(tmp_path / "in-use"))
    for name in ("server.crt", "server.key", "ca.crt"):
        (tmp_path / "renewed" / name).replace(tmp_path / "in-use" / name)
    shutil.copy(tmp_path / "in-use" / "ca.crt", tmp_path / "renewed")
    context = client_context(tmp_path / "renewed", certificate=True)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
    connection.close()


def test_a_half_written_renewal_leaves_the_old_certificates_in_use(start: Start, tmp_path: Path) -> None:
    write_certificates(tmp_path / "pki", ("127.0.0.1",))
    address = start(tls_of(tmp_path / "pki"))
    context = client_context(tmp_path / "pki", certificate=True)
    (tmp_path / "pki" / "server.crt").write_text("half")
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
    connection.close()


def test_who_sends_too_much_reads_the_refusal_and_not_a_reset(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=True)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=WAIT_SECONDS)
    assert post(connection, "filter", b"x" * 30_000_000)[0] == 413
    connection.close()


def test_private_keys_are_their_owners_alone(pki: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in pki.iterdir()}
    assert {name: mode for name, mode in modes.items() if name.endswith(".key")} == {
        "ca.key": 0o600,
        "server.key": 0o600,
        "client.key": 0o600,
    }


def test_nothing_is_overwritten(pki: Path) -> None:
    before = (pki / "ca.crt").read_bytes()
    with pytest.raises(Permanent, match="already has"):
        write_certificates(pki, ("elsewhere",))
    assert (pki / "ca.crt").read_bytes() == before


def test_missing_files_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    tls = Tls(certificate=tmp_path / "a", key=tmp_path / "b", client_ca=tmp_path / "c")
    with pytest.raises(InvalidInput, match="partita-scheduler certificates"):
        ExtenderServer(None, Address(host="127.0.0.1", port=0), tls=tls, max_body_bytes=1)
