"""The simulated world as the values that the invariants judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from hack.robustness.observation import (
    HeldDevice,
    Observation,
    Promise,
    Quarantine,
    SeenCdi,
    SeenDevice,
    SeenGpu,
    SeenInstance,
    SeenRecord,
    held_by_name,
    is_tainted,
    seen_record,
)
from hack.robustness.simulation.runtime import EPOCH

from partita_driver.engine.validation.own import OWN_CLAIM
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import GpuLost, HungCall
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import GpuInstance

if TYPE_CHECKING:
    from hack.robustness.simulation.world import SimulatedWorld


BY_NAME = ("gpu_uuids", "profile_id", "placement")
"""What a device's name says of its hardware."""


def observe(world: SimulatedWorld) -> Observation:
    """Everything at this moment; the world stands still."""
    assert world.driver
    state = world.driver.journal.state
    gpus = dict(enumerate(world.machine.hardware.gpus))
    records = _records(world, state)
    stale = {uid for uid, record in records.items() if record.state is not state.claims[uid].state}
    reachable = not world.server.down
    return Observation(
        gpus=tuple(_gpu(world, gpu) for gpu in world.machine.discover().gpus),
        silent=frozenset(
            fault.gpu_uuid for fault in world.machine.faults.all().values() if isinstance(fault, GpuLost | HungCall)
        ),
        records=records,
        cdi={uid: file for uid, file in _cdi_files(world.folder / "cdi").items() if uid not in stale},
        promises={
            uid: Promise(devices=world.disk.pods[uid].devices, told_at=EPOCH + known.asked_at, rebooted=known.rebooted)
            for uid, known in world.disk.checkpoint.items()
            if not known.void and not world.disk.pods[uid].gone
        },
        allocated={
            claim.metadata.uid: tuple(_held(one.device, gpus) for one in claim.status.allocation.devices.results)
            for claim in world.server.claims.values()
            if claim.status.allocation
        }
        if reachable
        else None,
        published={
            device.name: SeenDevice(held=_held(device.name, gpus), tainted=is_tainted(one.key for one in device.taints))
            for entry in world.server.slices.values()
            for device in entry.spec.devices
        }
        if reachable
        else None,
        quarantines=tuple(
            Quarantine(gpu_uuid=fault.gpu_uuid, placement=fault.placement, since=fault.since) for fault in state.faults
        ),
        ending=frozenset(world.disk.pods),
        running={uid: pod.devices for uid, pod in world.disk.pods.items() if pod.running},
        foreign=frozenset(world.foreign),
        own=frozenset(uid for uid in state.claims if uid.startswith(OWN_CLAIM)),
    )


def _records(world: SimulatedWorld, state: JournalState) -> dict[str, SeenRecord]:
    """The journal. What nobody counts on any more is as good as undoing, whatever it says.

    A kill on a full disk takes back what was undone there, until the kubelet asks again or the API has said for long
    enough that the claim is gone.
    """
    gpus = dict(enumerate(world.machine.hardware.gpus))
    records = {uid: _record(claim, gpus) for uid, claim in state.claims.items()}
    stale = {uid for uid, known in world.disk.checkpoint.items() if known.void} & records.keys()
    if world.server.down or world.was_full:
        known = {claim.metadata.uid for claim in world.server.claims.values()} | world.disk.pods.keys()
        stale |= {uid for uid in records if uid not in known and not uid.startswith(OWN_CLAIM)}
    return records | {uid: replace(records[uid], state=ClaimState.UNDOING) for uid in stale}


def _record(claim: ClaimRecord, gpus: dict[int, Gpu]) -> SeenRecord:
    """A claim in the journal. Where that says no more than a device's name, its hardware is worked out from this."""
    record = seen_record(claim)
    devices = (
        replace(told, **{one: getattr(_held(device.device, gpus), one) for one in BY_NAME})
        if device.named_alone
        else told
        for told, device in zip(record.devices, claim.devices, strict=True)
    )
    return replace(record, devices=tuple(devices))


def _gpu(world: SimulatedWorld, gpu: Gpu) -> SeenGpu:
    record = world.machine.files.load(gpu.uuid)
    nodes = frozenset(node.path for node in world.machine.devices.of(gpu.minor, None))

    def seen(instance: GpuInstance) -> SeenInstance:
        of_instance = frozenset(node.path for node in world.machine.devices.of(gpu.minor, instance))
        return SeenInstance(
            profile_id=instance.profile_id,
            placement=instance.placement,
            compute_instances=len(instance.compute_instances),
            nodes=of_instance - nodes,
        )

    return SeenGpu(
        uuid=gpu.uuid,
        mig_enabled=record.mig_enabled,
        time_slice=record.time_slice,
        instances=tuple(seen(one.value(gpu.uuid)) for one in record.instances),
        nodes=nodes,
    )


def _cdi_files(folder: Path) -> dict[str, SeenCdi]:
    found = {}
    for path in sorted(folder.glob("*.json")):
        uid = path.stem.partition("-claim_")[2]
        spec: Any = msgspec.json.decode(path.read_bytes())
        nodes = [node for device in spec["devices"] for node in device["containerEdits"]["deviceNodes"]]
        found[uid] = SeenCdi(nodes=frozenset(node["path"] for node in nodes))
    return found


_Gpus = tuple[tuple[int, Gpu], ...]


def _held(name: str, gpus: Mapping[int, Gpu]) -> HeldDevice:
    return _held_once(name, tuple(gpus.items()))


@lru_cache(maxsize=4096)
def _held_once(name: str, gpus: _Gpus) -> HeldDevice:
    return held_by_name(name, dict(gpus))
