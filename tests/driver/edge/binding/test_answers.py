"""Between kube-scheduler's allocation and its bind: conditions are set, or the node is taken out of the pod's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_driver.binding.asked import failed_status, is_asked, own_results
from partita_driver.binding.before_bind import BeforeBind
from partita_driver.claim_status import ahead_status, device_status, status_patch
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import StuckBit
from partita_plugins.errors import InvalidInput, Permanent, Retryable, ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.scheduling import binding_failure, deallocate_claim, is_ready_to_bind
from partita_plugins.wire import VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION, pool_name
from partita_plugins.wire.resource import ResourceClaim
from tests.driver.edge.test_claims import DEVICE
from tests.driver.edge.worlds import NODE, api_server, eventually
from tests.driver.engine.nodes import Node, result, time_slice_config

POOL = pool_name(NODE)
WAITS = {"bindingConditions": [VALIDATED_CONDITION], "bindingFailureConditions": [VALIDATION_FAILED_CONDITION]}


def body(*devices: str, name: str = "train", **fields: Any) -> dict[str, Any]:
    results = [{**result(device, request=f"gpu-{index}"), **WAITS, **fields} for index, device in enumerate(devices)]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "devices": {
                "requests": [
                    {"name": f"gpu-{index}", "exactly": {"deviceClassName": "gpu"}} for index in range(len(devices))
                ]
            }
        },
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": "train-0", "uid": "pod-uid"}],
        },
    }


@dataclass
class World:
    """A node's engine and its part before the bind, on an embedded API server."""

    server: ApiServer
    api: KubeApi
    node: Node
    give_up_seconds: float = 60.0
    taints: list[int] = field(default_factory=list)
    """Of each time that taints were published: how many faults there were."""

    tainting: bool = True
    failures: list[str] = field(default_factory=list)
    done: list[tuple[str, str]] = field(default_factory=list)
    running: list[BeforeBind] = field(default_factory=list)

    def part(self) -> BeforeBind:
        """One whose steps a test takes, and which no watch tells of anything."""
        return BeforeBind(
            self.api,
            NODE,
            engine=self.node.engine,
            outcomes=self,
            counter=self,
            tainted=self._tainted,
            give_up_seconds=self.give_up_seconds,
        )

    def start(self) -> BeforeBind:
        part = self.part()
        part.start()
        part.published(binding=True)
        self.running.append(part)
        return part

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()

    def allocate(self, *devices: str, name: str = "train", **fields: Any) -> dict[str, Any]:
        wanted = body(*devices, name=name, **fields)
        made = self.server.create(wanted)
        return self.server.update({**made, "status": wanted["status"]}, subresource="status")

    def claim(self, name: str = "train") -> dict[str, Any]:
        return self.server.get("ResourceClaim", name, "default")

    def is_ready(self, name: str = "train") -> bool:
        return is_ready_to_bind(self.claim(name))

    def failure(self, name: str = "train") -> str:
        return binding_failure(self.claim(name))

    def held(self) -> list[str]:
        return [device.device for claim in self.node.engine.claims().values() for device in claim.devices]

    def state(self, made: dict[str, Any]) -> ClaimState:
        known = self.node.engine.claims().get(made["metadata"]["uid"])
        return known.state if known else ClaimState.ABSENT

    def validation_failed(self, _claim: ResourceClaim, error: ValidationFailed) -> None:
        self.failures.append(str(error))

    def claim_done(self, verb: str, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.done.append((verb, result))

    def phase(self, phase: str, seconds: float) -> None:
        """Not looked at here."""

    def _tainted(self) -> bool:
        self.taints.append(len(self.node.engine.faults()))
        return self.tainting


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with api_server(tmp_path) as (server, api):
        made = World(server, api, Node(tmp_path / "node"))
        yield made
        made.stop()


@contextmanager
def broken(node: Node, slot: int) -> Iterator[None]:
    planted = node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(slot), word=5, bit=7))
    yield
    node.backend.faults.lift(planted)


def test_a_validated_claim_may_be_bound_and_prepare_finds_it_ready(world: World) -> None:
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    assert world.state(made) is ClaimState.CHECKED
    [told] = world.claim()["status"]["devices"]
    assert told["data"]["validation"]["depth"] == "full"
    world.node.engine.prepare(msgspec.convert(world.claim(), ResourceClaim))
    assert world.done == [("bind", "ok")]


def test_what_the_claim_says_of_sharing_is_no_hindrance(world: World) -> None:
    world.start()
    wanted = body(world.node.shared(0), shareID="00000000-0000-4000-8000-000000000001")
    wanted["status"]["allocation"]["devices"]["config"] = time_slice_config("Short")
    made = world.server.create(wanted)
    world.server.update({**made, "status": wanted["status"]}, subresource="status")
    assert eventually(world.is_ready)
    assert world.node.time_slice(0) == "Short"


def test_a_claim_that_was_allocated_before_the_watch_began_is_served(world: World) -> None:
    world.allocate(world.node.whole(0))
    world.start()
    assert eventually(world.is_ready)


def test_a_failure_says_what_was_found_after_the_taint_and_leaves_nothing(world: World) -> None:
    with broken(world.node, 3):
        world.start()
        made = world.allocate(world.node.whole(3))
        assert eventually(lambda: bool(world.failure()))
        assert "reason=ValidationFailed" in world.failure()
        assert "bit 7" in world.failure()
        assert "delete the pod" not in world.failure()
        assert world.taints == [1]
        assert world.state(made) is ClaimState.ABSENT
        [said] = world.failures
        assert "kube-scheduler takes other devices" in said
        deallocate_claim(world.server, made)
        assert not world.is_ready() or "devices" not in world.claim()["status"]


def test_nobody_is_told_of_a_failure_before_the_taint_is_there(world: World) -> None:
    world.tainting = False
    with broken(world.node, 3):
        world.start()
        world.allocate(world.node.whole(3))
        assert eventually(lambda: len(world.taints) > 1)
        assert not world.failure()
        world.tainting = True
        assert eventually(lambda: bool(world.failure()))


def test_one_broken_device_of_several_is_told_on_all(world: World) -> None:
    """kube-scheduler reads no device behind one that it still waits for."""
    with broken(world.node, 3):
        world.start()
        world.allocate(world.node.whole(2), world.node.whole(3))
        assert eventually(lambda: bool(world.failure()))
        assert world.held() == []


def test_a_claim_that_is_deallocated_before_its_prepare_is_undone(world: World) -> None:
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    deallocate_claim(world.server, made)
    assert eventually(lambda: not world.held())
    assert world.node.placements() == []


def test_a_claim_that_is_deleted_before_its_prepare_is_undone(world: World) -> None:
    world.start()
    world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    world.server.delete("ResourceClaim", "train", "default")
    assert eventually(lambda: not world.held())


def test_a_prepared_claim_that_vanishes_waits_for_its_unprepare(world: World) -> None:
    part = world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    world.node.engine.prepare(msgspec.convert(world.claim(), ResourceClaim))
    deallocate_claim(world.server, made)
    assert eventually(lambda: not part._claims)
    assert eventually(lambda: part._queue.due_seconds == float("inf"))
    assert world.state(made) is ClaimState.PREPARED


def test_a_claim_that_goes_while_it_is_made_is_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gone = threading.Event(), threading.Event()
    prepare_ahead = world.node.engine.prepare_ahead

    def slow(claim: ResourceClaim) -> Any:
        made = prepare_ahead(claim)
        begun.set()
        assert gone.wait(10)
        return made

    monkeypatch.setattr(world.node.engine, "prepare_ahead", slow)
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert begun.wait(10)
    deallocate_claim(world.server, made)
    gone.set()
    assert eventually(lambda: not world.held())
    assert "devices" not in world.claim()["status"]


def test_an_allocation_anew_is_never_answered_by_word_on_the_one_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gone = threading.Event(), threading.Event()
    prepare_ahead = world.node.engine.prepare_ahead

    def slow(claim: ResourceClaim) -> Any:
        made = prepare_ahead(claim)
        if not gone.is_set():
            begun.set()
            assert gone.wait(10)
        return made

    monkeypatch.setattr(world.node.engine, "prepare_ahead", slow)
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert begun.wait(10)
    free = deallocate_claim(world.server, made)
    other = body(world.node.mig(0, "3g", 0))
    world.server.update({**free, "status": other["status"]}, subresource="status")
    gone.set()
    assert eventually(world.is_ready)
    assert [entry["device"] for entry in world.claim()["status"]["devices"]] == [world.node.mig(0, "3g", 0)]
    assert world.held() == [world.node.mig(0, "3g", 0)]


@pytest.mark.parametrize("gone", ["deallocated", "deleted", "allocated anew"])
def test_what_was_made_for_an_allocation_that_is_gone_is_undone_before_the_watch_tells(world: World, gone: str) -> None:
    part, made = world.part(), world.allocate(world.node.whole(0))
    part.seen(None, msgspec.convert(world.claim(), ResourceClaim))
    if gone == "deleted":
        world.server.delete("ResourceClaim", "train", "default")
    else:
        free = deallocate_claim(world.server, made)
    if gone == "allocated anew":
        status = body(world.node.whole(0))["status"]
        status["allocation"]["allocationTimestamp"] = "2026-11-22T00:00:00Z"
        world.server.update({**free, "status": status}, subresource="status")
    part.step()
    assert world.held() == []
    assert [claim for claim in world.server.list("ResourceClaim").items if claim["status"].get("devices")] == []


def test_a_write_that_meets_another_is_made_again(world: World) -> None:
    world.server.faults.fail(409, method="PATCH", path="resourceclaims", times=2, reason="Conflict")
    world.start()
    world.allocate(world.node.whole(0))
    assert eventually(world.is_ready)


def test_an_api_server_that_is_away_for_a_while_delays_the_answer(world: World) -> None:
    world.server.faults.fail(503, method="PATCH", path="resourceclaims", times=3)
    world.start()
    world.allocate(world.node.whole(0))
    assert eventually(world.is_ready, 15)
    assert world.held() == [world.node.whole(0)]


def test_hardware_that_is_free_in_a_moment_is_waited_for(world: World) -> None:
    world.start()
    first = world.allocate(world.node.whole(0), name="first")
    assert eventually(lambda: world.is_ready("first"))
    world.allocate(world.node.mig(0, "3g", 4), name="second")
    assert eventually(lambda: ("bind", "retry") in world.done)
    assert not world.failure("second")
    world.server.delete("ResourceClaim", "first", "default")
    assert eventually(lambda: world.is_ready("second"), 15)
    assert world.state(first) is ClaimState.ABSENT


def test_hardware_that_does_not_get_free_is_given_up_without_a_taint(world: World) -> None:
    world.give_up_seconds = 0.5
    world.start()
    world.allocate(world.node.whole(0), name="first")
    assert eventually(lambda: world.is_ready("first"))
    world.allocate(world.node.mig(0, "3g", 4), name="second")
    assert eventually(lambda: "reason=NotReadyInTime" in world.failure("second"), 15)
    assert world.node.engine.faults() == ()


def test_what_cannot_be_made_is_told_at_once(world: World) -> None:
    world.start()
    world.allocate("gpu-0000-00-00-0")
    assert eventually(lambda: "reason=InvalidClaim" in world.failure())


def test_claims_of_other_nodes_and_without_conditions_are_left_alone(world: World) -> None:
    world.start()
    world.allocate(world.node.whole(0), name="elsewhere", pool=pool_name("node-b"))
    world.allocate(world.node.whole(1), name="unbound", bindingConditions=[], bindingFailureConditions=[])
    world.allocate(world.node.whole(2))
    assert eventually(world.is_ready)
    assert world.held() == [world.node.whole(2)]


def test_claims_on_several_gpus_are_served_side_by_side(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)
    prepare_ahead = world.node.engine.prepare_ahead

    def meet(claim: ResourceClaim) -> Any:
        together.wait(10)
        return prepare_ahead(claim)

    monkeypatch.setattr(world.node.engine, "prepare_ahead", meet)
    world.start()
    for slot in range(4):
        world.allocate(world.node.whole(slot), name=f"c{slot}")
    assert eventually(lambda: all(world.is_ready(f"c{slot}") for slot in range(4)), 15)


def test_the_next_process_answers_what_the_one_before_did_not(world: World) -> None:
    world.server.faults.fail(503, method="PATCH", path="resourceclaims", times=-1)
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(lambda: world.state(made) is ClaimState.CHECKED)
    world.stop()
    world.server.faults.clear()
    world.node.start()
    world.start()
    assert eventually(world.is_ready)
    assert world.node.placements() == [(0, world.node.instances()[0][0].placement)]


def test_what_went_while_no_driver_ran_is_undone_by_upkeep(world: World) -> None:
    world.start()
    made = world.allocate(world.node.mig(0, "3g", 4))
    assert eventually(world.is_ready)
    world.stop()
    world.server.delete("ResourceClaim", "train", "default")
    world.node.start()
    assert world.state(made) is ClaimState.CHECKED
    world.node.engine.reconcile_claims(lambda *_: False, gone_seconds=300.0)
    assert world.held() == []


# values


def asked(*devices: str, said: dict[str, str] | None = None, **fields: Any) -> ResourceClaim:
    found = body(*devices, **fields)
    found["metadata"] |= {"uid": "uid-1", "resourceVersion": "7"}
    if said:
        entry = {"driver": "gpu.partita.dev", "pool": POOL, "device": devices[0]}
        found["status"]["devices"] = [
            {**entry, "conditions": [{"type": kind, "status": word} for kind, word in said.items()]}
        ]
    return msgspec.convert(found, ResourceClaim)


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [
        (asked("gpu-a"), True),
        (asked("gpu-a", said={VALIDATED_CONDITION: "False"}), True),
        (asked("gpu-a", said={VALIDATED_CONDITION: "True"}), False),
        (asked("gpu-a", said={VALIDATION_FAILED_CONDITION: "True"}), False),
        (asked("gpu-a", "gpu-b", said={VALIDATED_CONDITION: "True"}), True),
        (asked("gpu-a", said={"Ready": "True"}), True),
        (asked("gpu-a", bindingConditions=["example.com/attached"]), False),
        (asked("gpu-a", driver="gpu.example.com"), False),
        (asked("gpu-a", pool="gpu.partita.dev/node-b"), False),
        (asked(), False),
    ],
)
def test_a_claim_asks_until_each_of_its_devices_here_has_a_word(claim: ResourceClaim, wanted: bool) -> None:
    assert is_asked(claim, POOL) is wanted


def test_a_claim_that_is_being_deleted_asks_no_more() -> None:
    claim = asked("gpu-a")
    metadata = msgspec.structs.replace(claim.metadata, deletion_timestamp="2026-11-22T00:00:00Z")
    assert not is_asked(msgspec.structs.replace(claim, metadata=metadata), POOL)


def test_a_message_is_short_and_without_advice_on_the_pod() -> None:
    [entry] = failed_status(asked("gpu-a"), POOL, Permanent("x" * 2000, advice="delete the pod"))
    [said] = entry.conditions or []
    assert said.message == "x" * 512
    assert (said.type, said.status, said.reason) == (VALIDATION_FAILED_CONDITION, "True", "Refused")


def test_who_asked_for_what_cannot_be_is_told_what_to_do() -> None:
    [entry] = failed_status(asked("gpu-a"), POOL, InvalidInput("no such partition", advice="it has 1g and 3g"))
    assert [one.message for one in entry.conditions or []] == ["no such partition; it has 1g and 3g"]


def test_the_reason_is_the_most_special_word_for_an_error() -> None:
    for error, reason in (
        (ValidationFailed("bit 7"), "ValidationFailed"),
        (Retryable("busy"), "NotReadyInTime"),
        (Permanent("no"), "Refused"),
    ):
        [entry] = failed_status(asked("gpu-a"), POOL, error)
        assert [one.reason for one in entry.conditions or []] == [reason]


def test_the_status_after_prepare_keeps_the_condition_and_since_when_it_is_true() -> None:
    """Another pod of the claim would wait for it in vain."""
    results = own_results(asked(DEVICE.device), POOL)
    found = msgspec.to_builtins(asked(DEVICE.device))
    ahead = msgspec.to_builtins(ahead_status(DEVICE, results))
    ahead["conditions"][0]["lastTransitionTime"] = "2026-11-22T00:00:00Z"
    found["status"]["devices"] = [ahead]
    patch = status_patch(found, "uid-1", [device_status(DEVICE, results)])
    assert patch
    [entry] = patch["status"]["devices"]
    times = {one["type"]: one["lastTransitionTime"] for one in entry["conditions"]}
    assert times[VALIDATED_CONDITION] == "2026-11-22T00:00:00Z"
    assert times["Ready"] > times[VALIDATED_CONDITION]
