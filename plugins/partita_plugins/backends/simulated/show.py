"""A simulated machine for people and for scripts."""

from __future__ import annotations

from typing import Any

import msgspec

from partita_plugins.backends.simulated.machine import SimulatedMachine
from partita_plugins.backends.simulated.records import InstanceRecord
from partita_plugins.model.gpu import Gpu


def describe(machine: SimulatedMachine) -> dict[str, Any]:
    """The machine as plain JSON values."""
    return {
        "machine": machine.record.machine,
        "seed": machine.record.seed,
        "gpus": [
            {
                "uuid": gpu.uuid,
                "pci_bus_id": gpu.pci_bus_id,
                "product": gpu.product,
                "minor": machine.gpu(gpu.uuid).minor,
                **msgspec.to_builtins(machine.files.load(gpu.uuid)),
            }
            for gpu in machine.hardware.gpus
        ],
        "faults": {fault_id: msgspec.to_builtins(fault) for fault_id, fault in machine.faults.all().items()},
    }


def draw(machine: SimulatedMachine) -> str:
    """The machine as lines: one a GPU, one an instance, one a fault."""
    lines = [f"{machine.record.machine} (seed {machine.record.seed!r})"]
    for index, known in enumerate(machine.hardware.gpus):
        gpu = machine.gpu(known.uuid)
        lines.append(f"{index}  {gpu.uuid}  {gpu.pci_bus_id}  {gpu.product}  MIG {_mode(gpu)}")
        lines += (f"     {_instance(gpu, one)}" for one in machine.files.load(gpu.uuid).instances)
    lines += (f"fault {fault_id}: {fault}" for fault_id, fault in machine.faults.all().items())
    return "\n".join(lines)


def _mode(gpu: Gpu) -> str:
    if gpu.mig is None:
        return "not supported"
    now, later = ("on" if mode else "off" for mode in (gpu.mig.enabled, gpu.mig.pending))
    return now if now == later else f"{now}, {later} after a reset"


def _instance(gpu: Gpu, one: InstanceRecord) -> str:
    names = {profile.profile_id: profile.name for profile in gpu.mig.profiles} if gpu.mig else {}
    uuids = ", ".join(ci.mig_uuid for ci in one.compute) or "no compute instance"
    return f"GI {one.gpu_instance_id}  {names.get(one.profile_id, one.profile_id)}@{one.start}  {uuids}"
