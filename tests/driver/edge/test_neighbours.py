"""Who else uses the GPUs: seen twice before it counts, withheld, told on the Node, and forgotten when it is gone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from partita_driver.api.node_condition import CONDITION, condition_of, remove_condition, write_condition
from partita_driver.api.status import OTHERS_FOUND, StatusWriter
from partita_driver.doctor.facts import KubeFacts
from partita_driver.doctor.neighbours import LOOK_SECONDS, SLICES_SECONDS, WAIT_SECONDS, Neighbours
from partita_driver.doctor.others import Other
from partita_driver.slices.plan import Owner
from partita_plugins.kube.api import STRATEGIC_PATCH
from partita_plugins.kube.errors import Unavailable
from partita_plugins.kube.resources import NODES
from partita_plugins.model.instances import GpuProcess
from partita_plugins.model.offer import SlottedHardware
from tests.driver.edge.in_memory import Clock
from tests.driver.edge.worlds import NODE, AllTold, api_server, slotted

H100 = slotted("hgx-h100")
EVERY_GPU = frozenset((slot, None) for slot in H100.gpus)
PLUGIN = {"nvidia.com/gpu": "8"}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STRANGER = Other(reason="process", what="train.py computes", next_step="stop it", gpu_uuid="GPU-1", pci_bus_id="0:1")
WARNING = replace(STRANGER, reason="mig-manager", what="mig-manager is here", withholds=False)


@dataclass
class World:
    """GPUs, their Node and other drivers' slices, as a test wants them."""

    node: SlottedHardware = H100
    processes: dict[str, tuple[GpuProcess, ...]] = field(default_factory=dict)
    facts: KubeFacts | None = field(default_factory=KubeFacts)
    drivers: tuple[str, ...] = ()
    asked: int = 0
    told: list[tuple[Other, ...]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.neighbours = Neighbours(
            self,
            node=lambda: self.facts,
            other_slices=self.ask,
            on_change=self.told.append,
            runtime=self.clock,
        )

    def idle_processes(self) -> dict[str, tuple[GpuProcess, ...]]:
        return self.processes

    def ask(self) -> tuple[str, ...]:
        self.asked += 1
        return self.drivers

    def look(self, seconds: float = LOOK_SECONDS) -> frozenset[tuple[int, object]]:
        self.clock.now += seconds
        self.neighbours.step()
        return frozenset(self.neighbours.withheld())


def test_nothing_is_said_before_the_node_has_been_seen() -> None:
    world = World(facts=None)
    assert world.neighbours.step() == WAIT_SECONDS
    assert world.neighbours.found is None
    assert world.neighbours.gpus_of_others() is None
    world.facts = KubeFacts()
    assert world.neighbours.step() == LOOK_SECONDS
    assert world.told == [()]


def test_a_process_is_somebody_else_s_when_it_is_still_there_at_the_next_look() -> None:
    world = World()
    uuid = H100.gpus[3].uuid
    world.processes = {uuid: (GpuProcess(pid=1, name="ending"), GpuProcess(pid=2, name="train.py"))}
    assert world.look() == frozenset()
    world.processes = {uuid: (GpuProcess(pid=2, name="train.py"), GpuProcess(pid=3, name="new"))}
    assert world.look() == {(3, None)}
    assert "train.py (PID 2)" in world.told[-1][0].what
    assert "more" not in world.told[-1][0].what
    world.processes = {}
    assert world.look() == frozenset()
    assert world.told[-1] == ()


def test_a_display_server_is_told_and_keeps_no_gpu_from_anybody() -> None:
    xorg = GpuProcess(pid=1, name="Xorg", only_draws=True)
    world = World(processes={gpu.uuid: (xorg,) for gpu in H100.gpus.values()})
    assert world.look() == world.look() == frozenset()
    assert {other.withholds for other in world.told[-1]} == {False}


def test_a_process_on_a_gpu_that_is_no_longer_there_is_nobody_s() -> None:
    world = World(processes={"GPU-gone": (GpuProcess(pid=1),)})
    assert world.look() == world.look() == frozenset()


@pytest.mark.parametrize(
    ("facts", "drivers"),
    [
        (KubeFacts(allocatable=PLUGIN), ()),
        (KubeFacts(), ("gpu.nvidia.com",)),
        (KubeFacts(labels={"nvidia.com/mig.config.state": "rebooting"}), ()),
    ],
)
def test_a_system_that_owns_the_node_has_all_of_its_gpus(facts: KubeFacts, drivers: tuple[str, ...]) -> None:
    world = World(facts=facts, drivers=drivers)
    assert world.look() == EVERY_GPU


def test_the_gpus_of_others_are_known_by_uuid() -> None:
    world = World()
    assert world.look() == frozenset()
    assert world.neighbours.gpus_of_others() == frozenset()
    world.processes = {H100.gpus[3].uuid: (GpuProcess(pid=2, name="train.py"),)}
    world.look()
    world.look()
    assert world.neighbours.gpus_of_others() == frozenset({H100.gpus[3].uuid})


def test_a_warning_withholds_nothing() -> None:
    world = World(facts=KubeFacts(labels={"nvidia.com/mig.config": "all-1g.10gb"}))
    assert world.look() == frozenset()
    assert [other.reason for other in world.told[-1]] == ["mig-manager"]


def test_a_change_is_told_once_and_the_slices_are_listed_rarely() -> None:
    world = World(facts=KubeFacts(allocatable=PLUGIN))
    for _ in range(5):
        world.look()
    assert len(world.told) == 1
    assert world.asked == 1
    world.look(SLICES_SECONDS)
    assert world.asked == 2


def test_while_slices_cannot_be_listed_at_first_nothing_is_concluded() -> None:
    world = World()
    world.neighbours = Neighbours(world, node=KubeFacts, other_slices=_silent, on_change=world.told.append)
    with pytest.raises(Unavailable):
        world.neighbours.step()
    assert world.neighbours.found is None


def test_the_condition_tells_what_is_withheld_and_keeps_its_time() -> None:
    first = condition_of([STRANGER, WARNING], None, NOON)
    assert (first.status, first.reason, first.message) == ("True", "Process", "0:1: train.py computes")
    later = condition_of([STRANGER], first, NOON.replace(hour=13))
    assert later.last_transition_time == first.last_transition_time == "2026-01-01T12:00:00Z"
    gone = condition_of([WARNING], later, NOON.replace(hour=14))
    assert (gone.status, gone.reason, gone.last_transition_time) == ("False", "MigManager", "2026-01-01T14:00:00Z")
    assert condition_of([], None, NOON).reason == "NobodyElse"


def test_the_node_s_other_conditions_are_left_alone_and_ours_can_be_taken_off(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T12:00:00Z"}
        patch = {"status": {"conditions": [ready]}}
        api.patch(NODES, NODE, patch, subresource="status", content_type=STRATEGIC_PATCH)
        write_condition(api, NODE, [STRANGER])
        version = server.get("Node", NODE)["metadata"]["resourceVersion"]
        write_condition(api, NODE, [STRANGER])
        node = server.get("Node", NODE)
        assert node["metadata"]["resourceVersion"] == version, "what it says already is not written again"
        assert node["status"]["conditions"][0] == ready
        assert node["status"]["conditions"][1]["type"] == CONDITION
        assert remove_condition(api, NODE)
        assert server.get("Node", NODE)["status"]["conditions"] == [ready]
        assert not remove_condition(api, NODE)


def test_others_are_told_in_the_condition_and_in_events(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        owner = Owner(node_name=NODE, uid=server.get("Node", NODE)["metadata"]["uid"])
        status = StatusWriter(api, NODE, AllTold())
        status.others_changed(owner, (STRANGER, WARNING))
        status.step()
        events = server.list("Event").items
        assert {event["reason"] for event in events} == {OTHERS_FOUND}
        assert {event["message"] for event in events} == {
            "train.py computes; stop it",
            "mig-manager is here; stop it",
        }
        assert server.get("Node", NODE)["status"]["conditions"][0]["status"] == "True"


def _silent() -> tuple[str, ...]:
    raise Unavailable("the API server is silent")
