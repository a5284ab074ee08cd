"""What may happen to the node, as a table: each operation with its weight. A step of a run is one of them with numbers.

The numbers decide on whom, so a step means something whatever happened before it, and any step can be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hack.robustness.simulation.judge import check
from hack.robustness.simulation.kubelet import CallFailed, Pod
from hack.robustness.simulation.losses import damage_journal, lose_cdi, lose_journal
from hack.robustness.simulation.pods import NAMESPACE
from hack.robustness.simulation.steps import Step, chosen
from hack.robustness.simulation.troubles import (
    break_gpu,
    change_offer,
    fill_disk,
    make_by_hand,
    open_gpu,
    trouble_api,
)
from hack.robustness.simulation.world import SimulatedWorld

from partita_driver import fault_points
from partita_driver.kubelet.dra_service import ClaimRef

WISHES = ("3g", "1g", "1g", "shared", "shared:Long", "gpu", "group", "monitor")
ELSEWHERE = frozenset({"plugin-listening", "settings-written", "status-written"})
"""Fault points of parts that the simulation does not have."""

POINTS = tuple(point for point in fault_points.POINTS if point not in ELSEWHERE)


def _pods(world: SimulatedWorld, *, deleted: bool = False) -> list[Pod]:
    return [pod for pod in world.disk.pods.values() if pod.deleted is deleted]


def _create(world: SimulatedWorld, step: Step) -> None:
    world.create_pod(chosen(WISHES, step.pick), f"p{world.tasks.steps}")


def _crowd(world: SimulatedWorld, step: Step) -> None:
    for number in range(2 + int(step.amount * 6)):
        world.create_pod(chosen(WISHES, (step.pick + number * 0.3) % 1), f"p{world.tasks.steps}-{number}")


def _create_waiting(world: SimulatedWorld, step: Step) -> None:
    """A pod that is bound only once its device is validated. No monitor: it lets nobody wait."""
    world.create_pod(chosen(WISHES[:-1], step.pick), f"w{world.tasks.steps}", waits=True)


def _abandon(world: SimulatedWorld, step: Step) -> None:
    """A pod is deleted before it is bound."""
    if pods := list(world.unbound.values()):
        world.abandon(chosen(pods, step.pick))


def _delete(world: SimulatedWorld, step: Step) -> None:
    if pods := _pods(world):
        world.delete_pod(chosen(pods, step.pick))


def _empty(world: SimulatedWorld, _step: Step) -> None:
    for pod in _pods(world):
        world.delete_pod(pod)


def _delete_by_force(world: SimulatedWorld, step: Step) -> None:
    if pods := _pods(world):
        world.delete_pod(chosen(pods, step.pick), force=True)


def _replace_claim(world: SimulatedWorld, step: Step) -> None:
    if pods := _pods(world):
        pod = chosen(pods, step.pick)
        world.delete_pod(pod, force=True)
        world.create_pod(chosen(WISHES, step.amount), pod.name)


def _repeat_call(world: SimulatedWorld, step: Step) -> None:
    """The same call again, beside whatever is in progress: what a kubelet does that has lost an answer."""
    kubelet = world.kubelet
    pods = _pods(world, deleted=step.amount > 0.5)
    if kubelet is None or not pods:
        return
    pod, verb = chosen(pods, step.pick), "unprepare" if step.amount > 0.5 else "prepare"
    if verb == "unprepare" and pod.running:
        return

    def call() -> None:
        try:
            kubelet.call(verb, pod.ref)
            if pod.ref.uid not in world.disk.pods:  # it was late, and the pod has ended meanwhile
                kubelet.call("unprepare", pod.ref)
        except CallFailed as error:
            world.say(f"{verb} again of pod {pod.name}: {error}")

    world.tasks.start(kubelet.process, f"again-{pod.name}", call)


def _unknown_claim(world: SimulatedWorld, _step: Step) -> None:
    kubelet, ref = world.kubelet, ClaimRef(namespace=NAMESPACE, name="unknown", uid=world.server.uid())
    if kubelet is None:
        return

    def call() -> None:
        try:
            kubelet.call("unprepare", ref)
        except CallFailed as error:
            world.say(f"unprepare of an unknown claim: {error}")

    world.tasks.start(kubelet.process, "unknown", call)


def _restart_kubelet(world: SimulatedWorld, step: Step) -> None:
    world.say("the kubelet restarts")
    world.start_kubelet()
    if step.amount > 0.5:
        for name in sorted(world.server.slices)[: 1 + int(step.pick * 4)]:
            world.server.drop_slice(name)


def _kill(world: SimulatedWorld, step: Step) -> None:
    """At a turn soon to come, wherever that is."""
    world.kill_countdown = 1 + int(step.pick * step.pick * 150)


def _kill_at_point(world: SimulatedWorld, step: Step) -> None:
    world.kill_point = chosen(POINTS, step.pick)


def _kill_now(world: SimulatedWorld, _step: Step) -> None:
    world.kill_driver("between calls")


def _reboot(world: SimulatedWorld, _step: Step) -> None:
    world.say("the node reboots")
    world.reboot()


def _lose_power(world: SimulatedWorld, _step: Step) -> None:
    world.say("the node loses its power")
    world.lose_power()


def _check(world: SimulatedWorld, _step: Step) -> None:
    check(world)


def _wait(world: SimulatedWorld, step: Step) -> None:
    world.tasks.sleep(step.amount * 90)


Act = Callable[[SimulatedWorld, Step], None]
OPERATIONS: Mapping[str, tuple[int, Act]] = {
    "create": (26, _create),
    "crowd": (5, _crowd),
    "create-waiting": (12, _create_waiting),
    "abandon": (5, _abandon),
    "delete": (18, _delete),
    "empty": (2, _empty),
    "delete-by-force": (3, _delete_by_force),
    "replace-claim": (2, _replace_claim),
    "repeat-call": (4, _repeat_call),
    "unknown-claim": (1, _unknown_claim),
    "restart-kubelet": (3, _restart_kubelet),
    "kill": (8, _kill),
    "kill-at-point": (9, _kill_at_point),
    "kill-now": (2, _kill_now),
    "reboot": (2, _reboot),
    "lose-power": (1, _lose_power),
    "api": (4, trouble_api),
    "break": (6, break_gpu),
    "linger": (3, open_gpu),
    "full-disk": (3, fill_disk),
    "foreign": (2, make_by_hand),
    "settings": (2, change_offer),
    "lose-cdi": (2, lose_cdi),
    "damage-journal": (1, damage_journal),
    "lose-journal": (2, lose_journal),
    "wait": (3, _wait),
    "check": (8, _check),
}
"""Weight and deed of each."""
