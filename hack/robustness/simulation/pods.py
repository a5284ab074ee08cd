"""Pods of one node, from kube-scheduler's allocation to the end of their containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hack.robustness.observation import held_by_name
from hack.robustness.simulation.allocator import Scheduler
from hack.robustness.simulation.api import Server
from hack.robustness.simulation.hardware import Machine
from hack.robustness.simulation.kubelet import Disk, Kubelet, Pod
from hack.robustness.simulation.node import Driver
from hack.robustness.simulation.tasks import Process, Tasks

from partita_driver.kubelet.claims import Prepared
from partita_driver.kubelet.dra_service import ClaimRef
from partita_driver.lifecycle import ClaimState
from partita_plugins.wire import VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.resource_claim import ResourceClaim

BINDING_LOOK_SECONDS = 5.0
NAMESPACE = "default"


class Pods:
    """Who asks for devices, and what becomes of it. Methods that take time are called by tasks."""

    def __init__(self, tasks: Tasks, machine: Machine, say: Callable[[str], None]) -> None:
        self.tasks, self.machine, self.say = tasks, machine, say
        self.server = Server(tasks)
        self.scheduler = Scheduler(self.server)
        self.outside = Process("outside")
        self.disk = Disk()
        self.kubelet: Kubelet | None = None
        self.unbound: dict[str, Pod] = {}
        """Pods that kube-scheduler has not bound yet, by claim UID: no kubelet knows of them."""

        self.driver: Driver | None = None

    def create_pod(self, wish: str, name: str, *, waits: bool = False) -> bool:
        """Let kube-scheduler allocate a claim, and the kubelet see its pod. False where nothing fits.

        With `waits` the kubelet sees it only once the driver has said that the device is validated.
        """
        if (NAMESPACE, name) in self.server.claims:
            return False
        claim = self.scheduler.claim(wish, NAMESPACE, name, waits=waits)
        if claim is None or claim.status.allocation is None:
            return False
        self.server.put_claim(claim)
        gpus, uid = dict(enumerate(self.machine.hardware.gpus)), claim.metadata.uid
        names = [one.device for one in claim.status.allocation.devices.results]
        held = tuple(held_by_name(device, gpus) for device in names)
        pod = Pod(name, ClaimRef(namespace=NAMESPACE, name=name, uid=uid), held)
        self.say(f"pod {name} with claim {uid} gets {', '.join(names)}")
        if waits:
            self.unbound[uid] = pod
            self.tasks.start(self.outside, f"prebind-{name}", lambda: self._wait_to_bind(pod))
        else:
            self._bind(pod)
        return True

    def _bind(self, pod: Pod) -> None:
        self.disk.pods[pod.ref.uid] = pod
        if self.kubelet and self.kubelet.process.alive:
            self.kubelet.sync(pod)

    def _wait_to_bind(self, pod: Pod) -> None:
        """kube-scheduler's PreBind: it looks every five seconds, and takes the devices back when one has failed."""
        while pod.ref.uid in self.unbound:
            told = word_on(self.server.claims[NAMESPACE, pod.name])
            if told == VALIDATED_CONDITION:
                self.say(f"pod {pod.name} is bound")
                self._bind(self.unbound.pop(pod.ref.uid))
            elif told == VALIDATION_FAILED_CONDITION:
                self.say(f"pod {pod.name} goes elsewhere")
                self.abandon(pod)
            else:
                self.tasks.sleep(BINDING_LOOK_SECONDS)

    def abandon(self, pod: Pod) -> None:
        """A pod that was never bound is gone, and its claim with it."""
        self.say(f"pod {pod.name} is gone before it was bound")
        del self.unbound[pod.ref.uid]
        self._forget(pod)

    def delete_pod(self, pod: Pod, *, force: bool = False) -> None:
        """The kubelet is to end it. With force pod and claim are gone from the API at once."""
        self.say(f"pod {pod.name} is deleted{' by force' if force else ''}")
        pod.deleted = True
        if force:
            self._forget(pod)
        if self.kubelet:
            self.kubelet.sync(pod)

    def handed_out(self, pod: Pod) -> bool:
        """Does the driver know the pod's claim as prepared?"""
        record = self.driver.journal.state.claims.get(pod.ref.uid) if self.driver else None
        return record is not None and record.state is ClaimState.PREPARED

    def start_container(self, pod: Pod, devices: Sequence[Prepared]) -> None:
        self.say(f"pod {pod.name} runs on {', '.join(device.uuid for device in devices)}")
        pod.running = True

    def stop_container(self, pod: Pod) -> None:
        if pod.running:
            self.say(f"the container of pod {pod.name} ends")
        pod.running = False

    def pod_ended(self, pod: Pod) -> None:
        self.say(f"pod {pod.name} has ended")
        self._forget(pod)

    def _forget(self, pod: Pod) -> None:
        pod.gone = True
        known = self.server.claims.get((NAMESPACE, pod.name))
        if known and known.metadata.uid == pod.ref.uid:
            self.server.drop_claim(known)


def word_on(claim: ResourceClaim) -> str:
    """The condition of a claim's one device that is true; empty: none yet."""
    conditions = [one for entry in claim.status.devices for one in entry.conditions or ()]
    said = {one.type for one in conditions if one.status == "True"}
    return next((kind for kind in (VALIDATION_FAILED_CONDITION, VALIDATED_CONDITION) if kind in said), "")
