"""What the driver counts, and where it is read: /metrics, /healthz and /readyz on one small HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from partita_plugins.deadline import Deadline
from partita_plugins.errors import Permanent

log = structlog.get_logger(__name__)

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0)
HTTP_WORKERS = 4
HTTP_PENDING_MAX = 64
"""Connections being answered or waiting; one more is hung up on, and a prober asks again."""

HTTP_TIMEOUT_SECONDS = 5.0
"""From a worker's first look to the end of the answer, however lively the client: there are few workers."""


class Metrics:
    """All metrics of one driver, in a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._claims = self._counter("partita_claims_total", "Calls by verb and result.", "verb", "result")
        self._claim_seconds = self._histogram("partita_claim_seconds", "Time of a whole call by verb.", "verb")
        self._phase_seconds = self._histogram("partita_phase_seconds", "Time of one phase of a call.", "phase")
        validation = ("moment", "depth", "result")
        self._validation_seconds = self._histogram(
            "partita_validation_seconds", "Time of a look at one GPU by moment, depth and result.", *validation
        )
        self._validation_failures = self._counter(
            "partita_validation_failures_total", "Looks that found a GPU broken by moment.", "moment"
        )
        self._validation_age = self._gauge(
            "partita_validation_age_seconds", "Since the last validation of a whole GPU by its UUID.", "gpu"
        )
        self._publishes = self._counter("partita_publishes_total", "Rounds of writing slices by result.", "result")
        self._told = self._counter("partita_told_total", "Claim statuses and events by result.", "what", "result")
        self._prepared = self._gauge("partita_prepared_devices", "Devices that claims hold by kind.", "kind")
        self._faults = self._gauge("partita_faults", "Known faults of the hardware by reason.", "reason")
        self._devices = self._gauge("partita_published_devices", "Devices in the slices by type.", "type")

    def claim_done(self, verb: str, result: str, seconds: float) -> None:
        self._claims.labels(verb, result).inc()
        self._claim_seconds.labels(verb).observe(seconds)

    def phase(self, phase: str, seconds: float) -> None:
        self._phase_seconds.labels(phase).observe(seconds)

    def validated(self, moment: str, depth: str, result: str, seconds: float) -> None:
        self._validation_seconds.labels(moment, depth, result).observe(seconds)
        if result == "failed":
            self._validation_failures.labels(moment).inc()

    def set_validation_ages(self, seconds: Mapping[str, float]) -> None:
        self._validation_age.clear()
        for gpu_uuid, age in seconds.items():
            self._validation_age.labels(gpu_uuid).set(age)

    def published(self, result: str) -> None:
        self._publishes.labels(result).inc()

    def told(self, what: str, result: str) -> None:
        self._told.labels(what, result).inc()

    def set_prepared(self, kinds: Iterable[str]) -> None:
        _count(self._prepared, kinds)

    def set_faults(self, reasons: Iterable[str]) -> None:
        _count(self._faults, reasons)

    def set_devices(self, types: Iterable[str]) -> None:
        _count(self._devices, types)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=SECONDS_BUCKETS)


def _count(gauge: Gauge, values: Iterable[str]) -> None:
    counted: dict[str, int] = {}
    for value in values:
        counted[value] = counted.get(value, 0) + 1
    gauge.clear()
    for value, number in counted.items():
        gauge.labels(value).set(number)


STOP_SECONDS = 2.0

Page = Callable[[], tuple[int, bytes]]
"""Answers one path: status and body."""


class HttpEndpoint:
    """A few pages over HTTP, from a bounded pool of threads. Nothing is read but the request line and headers."""

    longest_stop_seconds = STOP_SECONDS

    def __init__(self, address: str, pages: Mapping[str, Page]) -> None:
        """`address` is host:port; port 0 takes a free one. Raises Permanent where it cannot listen."""
        host, _, port = address.rpartition(":")
        try:
            self._server = _Pooled((host.strip("[]"), int(port)), _handler(pages))
        except (OSError, ValueError, OverflowError) as error:
            raise Permanent(
                f"cannot serve HTTP on {address!r}: {error}", advice="choose another --http-address"
            ) from error
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()
        log.info("serving HTTP", port=self.port)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_SECONDS)


class _Pooled(HTTPServer):
    """Requests side by side, a few at a time, none for longer than its deadline."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._workers = ThreadPoolExecutor(HTTP_WORKERS, thread_name_prefix="http")
        self._room = BoundedSemaphore(HTTP_PENDING_MAX)
        self._deadline = Deadline(HTTP_TIMEOUT_SECONDS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._workers.submit(self._answer, request, client_address)

    def service_actions(self) -> None:
        """Between requests, every moment."""
        self._deadline.step()

    def _answer(self, request: Any, client_address: Any) -> None:
        self._deadline.begin(request)
        try:
            self.finish_request(request, client_address)
        except OSError as error:
            log.debug("a client went away", error=str(error))
        except Exception:
            log.exception("a page failed")
        finally:
            self._deadline.end(request)
            self.shutdown_request(request)
            self._room.release()

    def server_close(self) -> None:
        super().server_close()
        self._workers.shutdown(wait=False, cancel_futures=True)


def _handler(pages: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = HTTP_TIMEOUT_SECONDS

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, body = page() if page else (404, b"not found; try " + ", ".join(pages).encode() + b"\n")
            self.send_response(status)
            kind = CONTENT_TYPE_LATEST if self.path.startswith("/metrics") else "text/plain; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            log.debug("http", message=format % args)

    return Handler
