"""Real sockets: mutual TLS, bounds before reading, one slow client among others, draining."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from partita_plugins.errors import InvalidInput, Permanent
from partita_scheduler.extender import create_app
from partita_scheduler.http.address import Address, check_exposure
from partita_scheduler.http.server import ExtenderServer
from partita_scheduler.http.tls import Tls
from partita_scheduler.install.certificates import write_certificates
from tests.scheduler.edge.fakes import FixedPolicy, World, body, make_pod

Start = Callable[..., Address]
MAX_BODY = 100_000


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


def test_a_client_with_a_certificate_is_answered_over_tls(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=True)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    status, raw = post(connection, "filter", body(make_pod(), "a", "b"))
    assert status == 200
    assert b'"NodeNames":["a","b"]' in raw
    connection.close()


def test_a_client_without_a_certificate_is_refused(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=False)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_a_client_of_another_ca_is_refused(start: Start, pki: Path, tmp_path: Path) -> None:
    write_certificates(tmp_path / "other", ("127.0.0.1",))
    address = start(tls_of(pki))
    context = client_context(pki, certificate=False)
    context.load_cert_chain(tmp_path / "other" / "client.crt", tmp_path / "other" / "client.key")
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_the_server_certificate_is_no_client_certificate(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=False)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
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
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        post(connection, "filter", body(make_pod(), "a"))
    connection.close()


def test_a_client_that_never_ends_its_handshake_keeps_nobody_waiting(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    with (
        socket.create_connection((address.host, address.port)) as silent,
        socket.create_connection((address.host, address.port)) as halfway,
    ):
        halfway.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        began = time.monotonic()
        context = client_context(pki, certificate=True)
        connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
        assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
        assert time.monotonic() - began < 3
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


def test_renewed_certificates_count_from_the_next_connection_on(start: Start, tmp_path: Path) -> None:
    write_certificates(tmp_path / "in-use", ("127.0.0.1",))
    write_certificates(tmp_path / "renewed", ("127.0.0.1",))
    address = start(tls_of(tmp_path / "in-use"))
    for name in ("server.crt", "server.key", "ca.crt"):
        (tmp_path / "renewed" / name).replace(tmp_path / "in-use" / name)
    shutil.copy(tmp_path / "in-use" / "ca.crt", tmp_path / "renewed")
    context = client_context(tmp_path / "renewed", certificate=True)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
    connection.close()


def test_a_half_written_renewal_leaves_the_old_certificates_in_use(start: Start, tmp_path: Path) -> None:
    write_certificates(tmp_path / "pki", ("127.0.0.1",))
    address = start(tls_of(tmp_path / "pki"))
    context = client_context(tmp_path / "pki", certificate=True)
    (tmp_path / "pki" / "server.crt").write_text("half")
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
    assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
    connection.close()


def test_a_body_over_the_bound_is_refused_before_it_is_sent(start: Start) -> None:
    address = start()
    with socket.create_connection((address.host, address.port), timeout=5) as raw:
        raw.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
        assert b"413" in raw.recv(200)


def test_who_sends_too_much_reads_the_refusal_and_not_a_reset(start: Start, pki: Path) -> None:
    address = start(tls_of(pki))
    context = client_context(pki, certificate=True)
    connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=10)
    assert post(connection, "filter", b"x" * 30_000_000)[0] == 413
    connection.close()


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nrubbish\r\n0\r\n\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"fffffff\r\nabc", b"-1\r\n\r\n"],
    ids=["no-size", "wrong-size", "too-large", "negative"],
)
def test_broken_chunks_are_a_4xx_and_the_process_lives(start: Start, chunks: bytes) -> None:
    address = start()
    with socket.create_connection((address.host, address.port), timeout=5) as raw:
        raw.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(200).split(b" ")[1][:1] == b"4"
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    assert post(connection, "filter", body(make_pod(), "a"))[0] == 200
    connection.close()


def test_a_question_on_a_kept_connection_takes_no_nagle_delay(start: Start) -> None:
    """Headers and body in two writes without TCP_NODELAY cost 40 ms a call."""
    address = start()
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    took: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        assert post(connection, "prioritize", body(make_pod(), "a", "b"))[0] == 200
        took.append(time.perf_counter() - began)
    connection.close()
    assert sorted(took)[10] < 0.03


def test_a_stopping_server_ends_the_request_that_it_has_begun() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(_environ: object, respond: Callable[..., object]) -> list[bytes]:
        entered.set()
        leave.wait(5)
        respond("200 OK", [("Content-Length", "4")])
        return [b"done"]

    server = ExtenderServer(slow, Address(host="127.0.0.1", port=0), tls=None, max_body_bytes=10, threads=2)
    address = server.bind()
    threading.Thread(target=server.serve, daemon=True).start()
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    connection.request("GET", "/")
    entered.wait(5)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    leave.set()
    assert connection.getresponse().read() == b"done"
    stopper.join(10)
    connection.close()


def test_plain_http_is_for_loopback_alone(pki: Path) -> None:
    check_exposure(Address.parse("127.0.0.1:8888"), None)
    check_exposure(Address.parse("[::1]:8888"), None)
    check_exposure(Address.parse("0.0.0.0:8888"), tls_of(pki))
    with pytest.raises(InvalidInput, match="--tls-cert"):
        check_exposure(Address.parse("0.0.0.0:8888"), None)


@pytest.mark.parametrize("text", ["8888", ":8888", "host:", "host:x", "host:99999", ""])
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        Address.parse(text)


def test_a_taken_port_is_said_in_words(start: Start) -> None:
    taken = start()
    with pytest.raises(InvalidInput, match="--listen"):
        ExtenderServer(None, taken, tls=None, max_body_bytes=1).bind()


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
