"""The two ways in which kube-scheduler's questions may come: through Flask, and past it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from partita_scheduler.extender import create_app
from partita_scheduler.http.address import Address
from partita_scheduler.http.answer import Answer
from partita_scheduler.http.server import ExtenderServer
from tests.scheduler.edge.fakes import World

MAX_BODY = 1_000_000


class Told(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw, parse_constant=_refuse)


Ask = Callable[[str, bytes], Told]


def _refuse(constant: str) -> None:
    raise AssertionError(f"Go does not read {constant}")


def no_app(_environ: object, respond: Callable[..., object]) -> list[bytes]:
    """In Flask's place, where nothing is to come there."""
    respond("418 I'm a teapot", [("Content-Length", "0")])
    return []


class Way:
    """A server that asks one way only, for one world after the other."""

    def __init__(self, *, quick: bool) -> None:
        self.give(World())
        self.server = ExtenderServer(
            no_app if quick else self._past,
            Address(host="127.0.0.1", port=0),
            tls=None,
            max_body_bytes=MAX_BODY,
            threads=2,
            quick={path: partial(self._ask, path) for path in World().parts.verbs.quick} if quick else {},
        )
        self.address = self.server.bind()
        threading.Thread(target=self.server.serve, daemon=True).start()

    def give(self, world: World) -> None:
        self.world, self.app = world, create_app(world.parts)

    def _past(self, environ: dict[str, Any], respond: Any) -> Any:
        return self.app(environ, respond)

    def _ask(self, path: str, raw: bytes) -> Answer:
        return self.world.parts.verbs.quick[path](raw)
