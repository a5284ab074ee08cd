"""TLS 1.2 or newer with a client certificate required; renewed files count from the next connection on."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cheroot.errors import FatalSSLAlert
from cheroot.ssl.builtin import BuiltinSSLAdapter

from partita_plugins.errors import InvalidInput

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files: what we show, and whose client certificates we take."""

    certificate: Path
    key: Path
    client_ca: Path


class Encrypted(ssl.SSLSocket):
    """Stays so when it is cut. Python's own forgets its session then, and sends what is still answered in the clear."""

    def shutdown(self, how: int) -> None:
        socket.socket.shutdown(self, how)


def server_context(tls: Tls) -> ssl.SSLContext:
    """Refuses clients without a certificate of the client CA. Raises InvalidInput that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslsocket_class = Encrypted
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"cannot use {tls.certificate}, {tls.key} and {tls.client_ca}: {error}",
            advice="make them with: partita-scheduler certificates --out DIR --host NAME",
        ) from error
    return context


class Adapter(BuiltinSSLAdapter):
    """What cheroot wraps its sockets with. The handshake is left to the worker that serves the connection."""

    def __init__(self, tls: Tls) -> None:
        context = server_context(tls)
        super().__init__(str(tls.certificate), str(tls.key))
        self.context = context
        self._tls, self._made_from = tls, _changed_at(tls)

    def wrap(self, sock: Any) -> tuple[Any, dict[str, str]]:
        self._reload()
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            raise FatalSSLAlert(*error.args) from error  # it has left already; cheroot says so and goes on
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def _reload(self) -> None:
        found = _changed_at(self._tls)
        if found == self._made_from:
            return
        self._made_from = found
        try:
            self.context = server_context(self._tls)
            log.info("certificates read again")
        except InvalidInput as error:
            log.warning("the old certificates stay in use", error=str(error))


def _changed_at(tls: Tls) -> tuple[int, ...]:
    try:
        return tuple(path.stat().st_mtime_ns for path in (tls.certificate, tls.key, tls.client_ca))
    except OSError:
        return ()  # being replaced: looked at again with the next connection
