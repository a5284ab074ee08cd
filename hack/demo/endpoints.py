"""The processes' HTTP endpoints: where they listen, whether they are ready, what the extender tells."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

from hack.demo.errors import DemoError
from hack.demo.processes import Process
from prometheus_client.parser import text_string_to_metric_families

from partita_plugins.testing.extender_client import ExtenderTls
from partita_scheduler.answers.verbs import VERBS

SCHEDULER = "partita-scheduler"
LOOPBACK = "127.0.0.1"
TIMEOUT_SECONDS = 5.0
BODY_BYTES_MAX = 16 * 1024 * 1024
_PORT = re.compile(r'"port": (\d+)')
_LISTENING = ('"serving HTTP"', '"listening"')


def http_port(process: Process) -> int:
    """The free port that a process took, as its log says; 0 until it does. Raises DemoError if the process ended."""
    process.check()
    for line in process.lines():
        if any(event in line for event in _LISTENING) and (match := _PORT.search(line)):
            return int(match[1])
    return 0


def ready(port: int) -> bool:
    """Whether a driver's readiness endpoint says yes."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


class ExtenderEndpoint:
    """The extender over HTTPS, with the client certificate that kube-scheduler would show."""

    def __init__(self, port: int, pki: Path) -> None:
        self.url = f"https://{LOOPBACK}:{port}"
        self.tls = ExtenderTls(ca_file=pki / "ca.crt", cert_file=pki / "client.crt", key_file=pki / "client.key")
        self._port, self._context = port, self.tls.context()

    def ready(self) -> bool:
        return self._ask("GET", "/readyz")[0] == http.client.OK

    def predictions(self) -> list[dict[str, Any]]:
        """Each claim's devices as foretold and as allocated."""
        found: list[dict[str, Any]] = self._json("GET", "/predictions")
        return found

    def answers(self) -> tuple[int, float, int]:
        """Questions of the scheduler so far, seconds spent on all of them, and how many found us without an opinion."""
        status, content = self._ask("GET", "/metrics")
        if status != http.client.OK:
            raise DemoError(f"/metrics answered {status}", process=SCHEDULER)
        samples = [one for family in text_string_to_metric_families(content.decode()) for one in family.samples]
        asked = [one for one in samples if one.labels.get("verb") in VERBS]
        return (
            int(sum(one.value for one in asked if one.name == "partita_scheduler_request_seconds_count")),
            sum(one.value for one in asked if one.name == "partita_scheduler_request_seconds_sum"),
            int(sum(one.value for one in samples if one.name == "partita_scheduler_no_opinion_total")),
        )

    def simulate(self, pod: dict[str, Any], claims: list[dict[str, Any]]) -> dict[str, Any]:
        """Where a pod would go that does not exist."""
        body = {"pod": pod, "claims": claims}
        found: dict[str, Any] = self._json("POST", "/simulate", body)
        return found

    def _json(self, verb: str, path: str, body: Any = None) -> Any:
        status, content = self._ask(verb, path, body)
        if status != http.client.OK:
            raise DemoError(f"{path} answered {status}: {content[:200]!r}", process=SCHEDULER)
        return json.loads(content)

    def _ask(self, verb: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=TIMEOUT_SECONDS, context=self._context)
        try:
            connection.request(verb, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            return answer.status, answer.read(BODY_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"the extender does not answer: {error}", process=SCHEDULER) from error
        finally:
            connection.close()
