"""Quiet moments, at which the invariants are judged, and the end, at which nothing may remain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hack.robustness.invariants import Harm, Violation, violations
from hack.robustness.simulation.node import Driver
from hack.robustness.simulation.observe import observe
from hack.robustness.simulation.world import EVERYTHING, SimulatedWorld

from partita_plugins.errors import PartitaError

QUIET_SECONDS = 400.0
"""Longest time until no call is in progress, once nothing new begins. A hung call takes its deadline."""


class Broken(Exception):
    """An invariant does not hold."""

    def __init__(self, found: tuple[Violation, ...]) -> None:
        super().__init__("\n".join(f"{one.invariant}: {one.found}" for one in found))
        self.found = found


def calm(world: SimulatedWorld) -> None:
    """All faults end, and every pod is deleted."""
    world.end_outage()
    world.kill_countdown, world.kill_point, world.offer = 0, "", EVERYTHING
    for planted in world.machine.faults.all():
        world.machine.faults.lift(planted)
    while world.foreign:
        world.tasks.sleep(10.0)
    for pod in list(world.unbound.values()):
        world.abandon(pod)
    for pod in [pod for pod in world.disk.pods.values() if not pod.deleted]:
        world.delete_pod(pod)


def expect_pods(world: SimulatedWorld, wishes: Sequence[str], seconds: float) -> None:
    """Pods with such devices run within that time, side by side, and end. Raises Broken."""
    for wish in wishes:
        _await(world, lambda wish=wish: world.create_pod(wish, f"last-{wish}"), seconds, f"no {wish} is free")  # type: ignore[misc]
    pods = [pod for pod in world.disk.pods.values() if pod.name.startswith("last-") and not pod.deleted]
    _await(world, lambda: all(pod.running for pod in pods), seconds, f"the next Prepare of {wishes} does not succeed")
    check(world)
    for pod in pods:
        world.delete_pod(pod)
    _await(world, lambda: all(pod.gone for pod in pods), seconds, f"the Unprepare of {wishes} does not succeed")


def expect_nothing(world: SimulatedWorld, seconds: float) -> None:
    """Deleted pods end, and nothing of any claim is left, within that time. Raises Broken with what is."""
    _await(world, lambda: not world.disk.pods, seconds, "a deleted pod does not end")
    end = world.tasks.now + seconds
    while True:
        try:
            check(world, at_the_end=True)
        except Broken:
            if world.tasks.now > end:
                raise
            world.tasks.sleep(30.0)
        else:
            return


def _await(world: SimulatedWorld, done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = world.tasks.now + seconds
    while not done():
        if world.tasks.now > end:
            raise Broken((Violation("comes-to-rest", Harm.LOST, otherwise),))
        world.tasks.sleep(5.0)


def check(world: SimulatedWorld, *, at_the_end: bool = False) -> None:
    """Wait until nothing is in progress, bring all together, and judge. Raises Broken."""
    end = world.tasks.now + QUIET_SECONDS
    # Lost files cannot be written again on a full disk.
    world.full_disk = world.full_disk and not world.cdi_lost
    while not _settled(world):
        if world.tasks.now > end and world.outage:
            # Pods that cannot be prepared meanwhile ask again and again.
            world.end_outage()
            end += QUIET_SECONDS
        elif world.tasks.now > end:
            raise Broken((Violation("comes-to-rest", Harm.LOST, f"calls are in progress after {QUIET_SECONDS:g} s"),))
    world.checks += 1
    world.cdi_lost = False
    found = violations(observe(world), at_the_end=at_the_end)
    if found:
        raise Broken(found)


def _settled(world: SimulatedWorld) -> bool:
    """One try to come to a quiet moment with all brought together since."""
    driver, kubelet = world.driver, world.kubelet
    if driver is None or not driver.process.alive or not driver.serving or (kubelet and kubelet.busy):
        world.tasks.sleep(1.0)
        return False
    if not world.server.down and not world.server.told(driver.process):
        world.tasks.sleep(1.0)
        return False
    begun = kubelet and kubelet.begun
    if not _inside(world, driver, lambda: _bring_together(world, driver)):
        return False
    told = world.server.down or world.server.told(driver.process)
    idle = (
        told
        and kubelet is world.kubelet
        and (kubelet and kubelet.begun) == begun
        and not driver.engine.busy
        and not (kubelet and kubelet.busy)
    )
    return idle and driver.process.alive


def _bring_together(world: SimulatedWorld, driver: Driver) -> None:
    try:
        driver.engine.refresh()
        driver.upkeep.step_now()
    except PartitaError as error:
        world.say(f"upkeep failed: {error}")
    if not world.server.down:
        driver.publisher.publish_now(QUIET_SECONDS)


def _inside(world: SimulatedWorld, driver: Driver, act: Callable[[], None]) -> bool:
    """Do something in the driver's process; False if that was killed meanwhile."""
    task = world.tasks.start(driver.process, "upkeep-now", act)
    while not task.done and driver.process.alive:
        world.tasks.sleep(0.5)
    return task.done
