"""Where to listen, and who may be listened to without a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from partita_plugins.errors import InvalidInput
from partita_scheduler.http.tls import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """ "127.0.0.1:8888", "[::1]:8888" or "localhost:8888". Raises InvalidInput."""
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InvalidInput(f"{text!r} is not an address", advice='write HOST:PORT, for example "127.0.0.1:8888"')
        return cls(host=host.strip("[]"), port=int(port))

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def check_exposure(address: Address, tls: Tls | None) -> None:
    """Raise InvalidInput where anybody on the network could ask: kube-scheduler sends no token, only a certificate."""
    if tls is None and not address.loopback:
        raise InvalidInput(
            f"plain HTTP on {address.host} would answer anybody",
            advice="give --tls-cert, --tls-key and --client-ca, or listen on 127.0.0.1",
        )
