"""A replica ends while kube-scheduler asks it: every question is answered, and in the end the other one is found."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import pytest

from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_scheduler.app import Application
from partita_scheduler.cluster.view import Pod
from partita_scheduler.http.address import Address
from partita_scheduler.settings import Settings
from tests.scheduler.edge.cluster import api_server, claim, device_class, node, pod, whole_gpus
from tests.scheduler.edge.fakes import body
from tests.waiting import WAIT_SECONDS, until

NODES = ("a", "b")
OPINION, LET_GO = (True, False), (False, True)
"""Of the answer: whether nodes are preferred, and whether the connection is let go."""

LAST_OPINION = (True, True)
"""Where the time came between the two."""

PAUSE_SECONDS = 0.03
LOOPBACK = Address(host="127.0.0.1", port=0)


@dataclass
class Client:
    """kube-scheduler's connection, kept from question to question."""

    connection: http.client.HTTPConnection
    application: Application
    asked: Iterator[int] = field(default_factory=count)

    @classmethod
    @contextmanager
    def of(cls, application: Application) -> Iterator[Client]:
        address = application.address
        with closing(http.client.HTTPConnection(address.host, address.port, timeout=WAIT_SECONDS)) as connection:
            yield cls(connection, application)

    def ask(self) -> tuple[bool, bool]:
        """OPINION, LET_GO or another pair. Raises OSError where nobody answers."""
        number = next(self.asked)
        made = pod(f"train-{number}", "wish")
        asking = msgspec.convert({**made, "metadata": {**made["metadata"], "uid": f"uid-{number}"}}, Pod)
        self.connection.request("POST", "/prioritize", body(asking, *NODES))
        answer = self.connection.getresponse()
        scores = msgspec.json.decode(answer.read())
        self.application.assumptions.forget(asking.metadata.uid)  # or the next pod would find the claim taken
        assert answer.status == 200
        return bool(scores), answer.headers["Connection"] == "close"

    def ready(self) -> bool:
        self.connection.request("GET", "/readyz")
        answer = self.connection.getresponse()
        answer.read()
        return answer.status == 200


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeApi]:
    monkeypatch.setattr("partita_scheduler.kept.state.ANSWER_SECONDS", WAIT_SECONDS)  # an opinion, however busy we are
    with api_server(tmp_path) as (server, api):
        fill(server)
        yield api


def fill(server: ApiServer) -> None:
    server.create(device_class())
    server.create(claim("wish"))
    for name in NODES:
        server.create(node(name))
        server.create(whole_gpus(name))


@contextmanager
def started(api: KubeApi, identity: str) -> Iterator[Application]:
    application = Application(api, Settings(listen=LOOPBACK, identity=identity, explain=False)).start()
    try:
        yield application
    finally:
        application.end()
        application.end()
        application.stop()


def stopping(application: Application) -> threading.Thread:
    """What SIGTERM begins."""
    thread = threading.Thread(target=application.stop)
    thread.start()
    return thread


def test_every_question_is_answered_until_the_other_one_answers(cluster: KubeApi) -> None:
    with started(cluster, "old") as old, Client.of(old) as here:
        until(lambda: not old.decider.doubt())
        with started(cluster, "new") as new, Client.of(new) as there:
            until(lambda: not new.watch.doubt())
            assert here.ask() == OPINION
            assert not there.ready()
            ending = stopping(old)
            until(there.ready)
            assert here.ready(), "for as long as nobody knows of the other one"
            assert there.ask() == LET_GO, "who comes early has no second opinion"
            told = []
            while LET_GO not in told:
                told.append(here.ask())
                ending.join(PAUSE_SECONDS)
            assert OPINION in told
            assert set(told[:-1]) <= {OPINION, LAST_OPINION}
            assert told.count(LAST_OPINION) <= 1
            until(lambda: there.ask() == OPINION)
            ending.join(WAIT_SECONDS)
            with pytest.raises(ConnectionRefusedError):
                here.ask()
