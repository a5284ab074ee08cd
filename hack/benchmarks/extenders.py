"""The extenders that kube-scheduler may ask in a benchmark, each a process of its own."""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from hack.benchmarks.fleet import Json
from hack.benchmarks.targets import settle
from hack.demo.endpoints import LOOPBACK, http_port
from hack.demo.processes import Process
from hack.demo.waiting import until
from hack.realcluster.layout import default_layout
from prometheus_client.parser import text_string_to_metric_families

from partita_scheduler.install.stanza import stanza

START_SECONDS = 120.0
COMMANDS = {
    "instant": ["hack.benchmarks.instant"],
    "noop": ["hack.benchmarks.noop"],
    "partita": ["partita_scheduler", "run", "--listen", f"{LOOPBACK}:0", "--no-leader-election"],
}
NAMES = ("none", *COMMANDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extender:
    """One that is ready; or none."""

    name: str = "none"
    port: int = 0
    pid: int = 0

    def stanzas(self, preset: str) -> list[Json]:
        """What makes kube-scheduler ask it: as shipped, with this preset."""
        if not self.port:
            return []
        text = stanza(url=f"http://{LOOPBACK}:{self.port}", preset=preset, certificates="")
        found: list[Json] = yaml.safe_load(text)["extenders"]
        return found

    def foretold(self) -> dict[str, float]:
        """How what it foretold came true, once the last allocations have reached it; of partita alone."""
        if self.name != "partita":
            return {}
        time.sleep(1.0)
        _, content = _get(self.port, "/metrics")
        counted: dict[str, dict[str, float]] = {"prediction": {}, "choice": {}}
        for family in text_string_to_metric_families(content.decode()):
            for sample in family.samples:
                for what, label in (("prediction", "result"), ("choice", "node")):
                    if sample.name == f"partita_scheduler_{what}_total":
                        counted[what][sample.labels[label]] = sample.value
        rows = (("choice", "first", "first_choice_percent"), ("prediction", "mismatch", "mismatch_percent"))
        return {
            name: round(100 * counted[what].get(of, 0.0) / total, 2)
            for what, of, name in rows
            if (total := sum(counted[what].values()))
        }


@contextmanager
def running(name: str) -> Iterator[Extender]:
    """The extender of that name, ready, for the block."""
    if name == "none":
        yield Extender()
        return
    with tempfile.TemporaryDirectory(prefix="partita-") as folder:
        kubeconfig = ["--kubeconfig", str(default_layout().kubeconfig)] if name == "partita" else []
        process = Process(name, [*COMMANDS[name], *kubeconfig], Path(folder) / f"{name}.log")
        process.start()
        try:
            port = until(f"{name} listens", lambda: http_port(process), seconds=START_SECONDS)
            if name == "partita":
                until(f"{name} is ready", lambda: _get(port, "/readyz")[0] == http.client.OK, seconds=START_SECONDS)
                settle(process)  # what a start begins is no pod's
            yield Extender(name=name, port=port, pid=process.pid)
        finally:
            process.kill()


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
