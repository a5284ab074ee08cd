"""What one node costs the API server: there are hundreds of them. In virtual time, with the driver's own loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hack.robustness.simulation.hardware import Devices
from hack.robustness.simulation.many import workplace
from hack.robustness.simulation.pods import NAMESPACE
from hack.robustness.simulation.run import replaced
from hack.robustness.simulation.world import SimulatedWorld

from partita_driver.api.claims import TRUST
from partita_driver.running.upkeep import GONE_SECONDS, UPKEEP_SECONDS
from partita_plugins.kube.reflector import WATCH_SECONDS
from partita_plugins.pauses import SPREAD

GPUS, CLAIMS = 4, 28
HOUR = 3600.0

REQUESTS_A_MINUTE_MAX = 3.0
"""Of an idle node with 28 prepared claims, beside its watches."""

WATCHES = 3
"""Slices, settings, Node."""


@pytest.fixture
def world() -> Iterator[SimulatedWorld]:
    with workplace() as (folder, devices):
        yield full_node(folder, devices)


def full_node(folder: Path, devices: Devices) -> SimulatedWorld:
    return SimulatedWorld(1, folder / "node", devices, lambda _: None, gpus=GPUS)


def play(world: SimulatedWorld, story: Callable[[], None]) -> None:
    """28 pods run on partitions; then the story."""

    def all_running() -> bool:
        return len(world.disk.pods) == CLAIMS and all(pod.running for pod in world.disk.pods.values())

    def told() -> None:
        while not all_running():
            world.create_pod("1g", f"pod-{len(world.disk.pods)}")
            world.tasks.sleep(2.0)
        story()

    with replaced(world, Counter(), None):
        world.begin(recording=False)
        world.tasks.run(world.tasks.start(world.outside, "story", told))
        world.tasks.bury()


def test_an_idle_node_with_28_claims_asks_less_than_three_times_a_minute(world: SimulatedWorld) -> None:
    def idle() -> None:
        world.tasks.sleep(HOUR)
        world.server.requests.clear()
        world.tasks.sleep(2 * HOUR)

    play(world, idle)
    assert set(world.server.requests) == {"reads from the API"}, "no list, no write"
    per_minute = world.server.requests.total() / (2 * HOUR / 60.0)
    assert 1.0 < per_minute < REQUESTS_A_MINUTE_MAX, f"{per_minute:.1f} requests a minute"
    assert WATCHES * 60.0 / WATCH_SECONDS < 1.0


def test_claims_that_vanish_without_an_unprepare_are_undone_though_they_were_taken_on_trust(
    world: SimulatedWorld,
) -> None:
    longest = (TRUST.longest_seconds + 2 * UPKEEP_SECONDS) * (1 + SPREAD) + GONE_SECONDS

    def vanish() -> None:
        world.tasks.sleep(HOUR)
        assert world.driver
        del world.server.claims[NAMESPACE, "pod-3"]
        world.tasks.sleep(longest)
        assert len(world.driver.engine.prepared()) == CLAIMS - 1
        world.driver.claims_in_api.doubt()
        del world.server.claims[NAMESPACE, "pod-4"]
        world.tasks.sleep((2 * UPKEEP_SECONDS) * (1 + SPREAD) + GONE_SECONDS)
        assert len(world.driver.engine.prepared()) == CLAIMS - 2, "a hint, such as a kubelet's restart, ends trust"

    play(world, vanish)
