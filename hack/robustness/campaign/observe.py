"""Looks at a node: hardware, journal, CDI files, API. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
from hack.robustness.campaign.folders import NODE
from hack.robustness.campaign.node import Node, cdi_file_uid
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

from partita_driver.cdi.lint import CdiSpec
from partita_driver.engine.validation.own import OWN_CLAIM
from partita_driver.journal.records import ClaimRecord, JournalState
from partita_plugins.model.gpu import Gpu
from partita_plugins.wire import DRIVER_NAME, pool_name


def observe(node: Node, journal: JournalState, promises: Mapping[str, Promise], *, api: bool) -> Observation:
    """The node as it is now. Without `api` nothing is asked of the API server."""
    return Observation(
        gpus=tuple(_gpu(node, gpu) for gpu in node.gpus.values()),
        records={uid: _record(journal, claim, promises.get(uid)) for uid, claim in journal.claims.items()},
        cdi={cdi_file_uid(path): _cdi(path) for path in node.folders.cdi.glob("*.json")},
        promises=promises,
        allocated=_allocated(node) if api else None,
        published=_published(node) if api else None,
        quarantines=tuple(
            Quarantine(gpu_uuid=fault.gpu_uuid, placement=fault.placement, since=fault.since)
            for fault in journal.faults
        ),
        own=frozenset(uid for uid in journal.claims if uid.startswith(OWN_CLAIM)),
    )


def _record(journal: JournalState, claim: ClaimRecord, promise: Promise | None) -> SeenRecord:
    """A claim in the journal. One found again by its CDI file alone has its time slice on the hardware only: it must
    stay there, and is known once the API server has confirmed the journal."""
    seen = seen_record(claim)
    if not journal.unconfirmed or promise is None:
        return seen
    wanted = {device.name: device.time_slice for device in promise.devices}
    return replace(
        seen, devices=tuple(replace(one, time_slice=wanted.get(one.name, one.time_slice)) for one in seen.devices)
    )


def leftovers(node: Node, journal: JournalState) -> list[str]:
    """What is left once every claim is given back: each is a leak."""
    found = [f"claim {uid} is still {claim.state} in the journal" for uid, claim in journal.claims.items()]
    found += [f"{path.name} is still in the CDI folder" for path in node.folders.cdi.iterdir()]
    for gpu in node.gpus.values():
        record = node.machine.files.load(gpu.uuid)
        found += [f"a GPU instance is still on {gpu.uuid} at slice {one.start}" for one in record.instances]
        if record.mig_enabled and not record.instances:
            found.append(f"{gpu.uuid} is still in MIG mode")
        if record.time_slice != "Default":
            found.append(f"{gpu.uuid} still has time slice {record.time_slice}")
    return found


def _gpu(node: Node, gpu: Gpu) -> SeenGpu:
    now, record = node.machine.gpu(gpu.uuid), node.machine.files.load(gpu.uuid)
    nodes = frozenset(entry.path for entry in node.machine.devices.listed(now.minor, None))
    instances = [one.value(gpu.uuid) for one in record.instances]
    return SeenGpu(
        uuid=gpu.uuid,
        mig_enabled=record.mig_enabled,
        time_slice=record.time_slice,
        nodes=nodes,
        instances=tuple(
            SeenInstance(
                profile_id=one.profile_id,
                placement=one.placement,
                compute_instances=len(one.compute_instances),
                nodes=frozenset(
                    entry.path for entry in node.machine.devices.listed(now.minor, one) if entry.path not in nodes
                ),
            )
            for one in instances
        ),
    )


def _cdi(path: Path) -> SeenCdi:
    spec = msgspec.json.decode(path.read_bytes(), type=CdiSpec)
    nodes = [entry for device in spec.devices for entry in device.container_edits.device_nodes]
    return SeenCdi(
        nodes=frozenset(entry.path for entry in nodes),
        missing=frozenset(entry.path for entry in nodes if not Path(entry.host_path or entry.path).exists()),
    )


def _allocated(node: Node) -> dict[str, tuple[HeldDevice, ...]]:
    found: dict[str, tuple[HeldDevice, ...]] = {}
    for claim in node.server.list("ResourceClaim").items:
        results = claim.get("status", {}).get("allocation", {}).get("devices", {}).get("results", [])
        ours = [one["device"] for one in results if one["driver"] == DRIVER_NAME and one["pool"] == pool_name(NODE)]
        found[claim["metadata"]["uid"]] = tuple(held_by_name(name, node.gpus) for name in ours)
    return found


def _published(node: Node) -> dict[str, SeenDevice]:
    devices = [
        device for entry in node.server.list("ResourceSlice").items for device in entry["spec"].get("devices", [])
    ]
    return {
        device["name"]: SeenDevice(
            held=held_by_name(device["name"], node.gpus),
            tainted=is_tainted(taint["key"] for taint in device.get("taints", [])),
        )
        for device in devices
    }
