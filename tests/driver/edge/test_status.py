"""What became of a claim, as its status and events tell."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from partita_driver.api.claim_status import status_patch
from partita_driver.api.status import StatusWriter
from partita_driver.slices.plan import Owner
from partita_plugins.errors import ValidationFailed
from partita_plugins.testing.apiserver import Fault as HttpFault
from tests.driver.edge.one_claim import DEVICE, allocated, claim_json, result
from tests.driver.edge.worlds import NODE, Counted, api_server


@dataclass
class Told(Counted):
    results: list[tuple[str, str]] = field(default_factory=list)

    def told(self, what: str, result: str) -> None:
        self.results.append((what, result))


def test_the_claim_s_status_tells_of_the_device_and_keeps_what_others_wrote(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        other = {
            "driver": "net.example.com",
            "pool": "net",
            "device": DEVICE.device,
            "networkData": {"ips": ["10.0.0.1/8"]},
        }
        server.patch("ResourceClaim", "train", {"status": {"devices": [other]}}, subresource="status")
        writer = StatusWriter(api, NODE, counter)
        writer.prepared(found, [DEVICE])
        server.faults.plant(HttpFault(method="PATCH", times=1, code=409, reason="Conflict"))
        writer.step()
        assert counter.results == [("status", "ok")]
        theirs, mine = server.get("ResourceClaim", "train")["status"]["devices"]
        assert theirs["networkData"] == other["networkData"]
        assert mine["data"] == {
            "uuid": "GPU-1",
            "validation": {"method": "reference", "depth": "full", "seconds": 0.2, "memoryCoverage": 0.5},
        }
        [ready] = mine["conditions"]
        assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Validated")


def test_a_gpu_that_failed_while_idle_is_told_on_the_node(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        uid = server.get("Node", NODE)["metadata"]["uid"]
        writer = StatusWriter(api, NODE, Told())
        writer.idle_gpu_failed(Owner(node_name=NODE, uid=uid), ValidationFailed("bit 7 is stuck"))
        writer.step()
        [event] = server.list("Event").items
        assert (event["reason"], event["message"]) == ("DeviceValidationFailed", "bit 7 is stuck")
        assert (event["involvedObject"]["kind"], event["involvedObject"]["uid"]) == ("Node", uid)


def test_what_the_status_says_already_is_not_written_again(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        writer = StatusWriter(api, NODE, counter)
        for _ in range(2):
            writer.prepared(found, [DEVICE])
            writer.step()
        assert sum(1 for seen in server.requests if seen.method == "PATCH") == 1


def test_another_claim_of_the_same_name_is_left_alone() -> None:
    assert status_patch(claim_json(result()), "uid-2", []) is None


def test_a_failed_validation_makes_events_on_the_claim_and_its_pods(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        writer = StatusWriter(api, NODE, counter)
        writer.validation_failed(found, ValidationFailed("GPU-1: bit 7 of word 0x10 reads 1"))
        writer.step()
        events = server.list("Event").items
        assert {event["involvedObject"]["kind"] for event in events} == {"ResourceClaim", "Pod"}
        assert {(event["reason"], event["type"]) for event in events} == {("DeviceValidationFailed", "Warning")}
        assert {event["message"] for event in events} == {"GPU-1: bit 7 of word 0x10 reads 1"}


def test_telling_never_raises_and_never_grows_without_bound(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        writer = StatusWriter(api, NODE, counter)
        for _ in range(300):
            writer.prepared(found, [DEVICE])
        assert counter.results.count(("status", "dropped")) == 300 - 256
        server.faults.plant(HttpFault(path="resourceclaims", times=-1, code=403, reason="Forbidden"))
        writer.step()
        assert counter.results.count(("status", "error")) == 256


def test_the_end_waits_a_moment_for_what_is_not_told_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita_driver.api.status.FAREWELL_SECONDS", 1.0)
    with api_server(tmp_path) as (_, api):
        counter = Told()
        writer = StatusWriter(api, NODE, counter)
        for _ in range(50):
            writer._later("event", lambda: time.sleep(0.5))
        writer.stop()
        assert 1 <= counter.results.count(("event", "ok")) <= 4
        assert counter.results.count(("event", "dropped")) >= 46


def test_a_write_that_does_not_end_is_left_behind_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita_driver.api.status.FAREWELL_SECONDS", 0.2)
    answered, counter = threading.Event(), Told()

    def write() -> None:
        answered.wait()

    with api_server(tmp_path) as (_, api):
        writer = StatusWriter(api, NODE, counter)
        writer._later("event", write)
        writer.stop()
        assert counter.results == []
        answered.set()
