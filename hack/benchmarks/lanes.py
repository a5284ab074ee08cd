"""What a soak does over and over: kinds of cycles, and lanes that each repeat theirs side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from hack.benchmarks.node import Node

from partita_plugins.backends.simulated import StuckBit
from partita_plugins.testing.kubelet.drivers import ClaimRef
from partita_plugins.wire.device_names import parse_name


class Unexpected(Exception):
    """A cycle did not end as its kind must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of cycle: a claim is allocated, prepared, taken back and deleted."""

    name: str
    device: str
    """Allocated device. Published or not: whoever makes an allocation by hand is not asked."""

    error: str = ""
    """What Prepare must answer, as a regular expression; empty: the devices."""

    shared_memory: str = ""
    """Granted of a shared GPU."""

    replaced: bool = False
    """The kubelet asks for a claim that was deleted and made anew under the same name."""

    break_gpu: str = ""
    """UUID of a GPU of which a bit of memory is stuck during the cycle."""


@dataclass(slots=True)
class Lane:
    """Cycles one after another, in turns of its kinds."""

    name: str
    kinds: Sequence[Kind]
    done: dict[str, int] = field(default_factory=dict)

    def run(self, world: Node, cycles: int) -> None:
        """So many cycles more. Raises Unexpected."""
        for _ in range(cycles):
            number = sum(self.done.values())
            kind = self.kinds[number % len(self.kinds)]
            _cycle(world, kind, f"{self.name}-{number}")
            self.done[kind.name] = self.done.get(kind.name, 0) + 1


def lanes(world: Node) -> list[Lane]:
    """Four GPUs' work: one between whole and MIG, one with two partitions, one with two shares, one that breaks."""
    gpus = world.machine.hardware.gpus
    labels = [gpu.pci_label for gpu in gpus]
    published = world.devices()
    whole = [Kind(name="whole", device=f"gpu-{label}") for label in labels]
    small = [Kind(name="mig-1g", device=_partition(published, label, "1g", 0)) for label in labels]
    other = [Kind(name="mig-1g", device=_partition(published, label, "1g", 1)) for label in labels]
    large = [Kind(name="mig-3g", device=_partition(published, label, "3g", 0)) for label in labels]
    share = Kind(name="shared", device=f"gpu-{labels[2]}-shared", shared_memory="10Gi")
    missing = Kind(name="no-such-device", device="gpu-ffff-ff-00-0", error="there is no device")
    replaced = Kind(name="replaced", device=f"gpu-{labels[3]}", error="got replaced", replaced=True)
    broken = Kind(
        name="broken", device=f"gpu-{labels[3]}", error="failed its validation|is quarantined", break_gpu=gpus[3].uuid
    )
    return [
        Lane("modes", [whole[0], small[0], large[0]]),
        Lane("first", [small[1], small[1], missing]),
        Lane("second", [other[1]]),
        Lane("share-a", [share]),
        Lane("share-b", [share, share, replaced]),
        Lane("broken", [broken, *[other[4]] * 19]),
    ]


def _partition(published: Sequence[str], label: str, shape: str, number: int) -> str:
    found = [name for name in published if (one := parse_name(name)).pci_label == label and one.shape == shape]
    return found[number]


def _cycle(world: Node, kind: Kind, name: str) -> None:
    more = {"shareID": str(uuid4()), "consumedCapacity": {"memory": kind.shared_memory}} if kind.shared_memory else {}
    claim = world.allocate(name, kind.device, **more)
    asked = ClaimRef(namespace=claim.namespace, name=claim.name, uid=str(uuid4())) if kind.replaced else claim
    faults = world.machine.faults
    planted = faults.plant(StuckBit(gpu_uuid=kind.break_gpu, word=5, bit=7)) if kind.break_gpu else ""
    try:
        _expect(kind, "Prepare", world.prepare(asked), kind.error)
    finally:
        if planted:
            faults.lift(planted)
    _expect(kind, "Unprepare", world.unprepare(asked), "")
    world.forget(claim)


def _expect(kind: Kind, verb: str, answer: str, error: str) -> None:
    if not (re.search(error, answer) if error else not answer):
        raise Unexpected(f"{verb} of {kind.name} ({kind.device}) answered {answer or 'devices'!r}")
