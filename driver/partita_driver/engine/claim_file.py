"""A claim's CDI file, from the hardware as it is now: which device nodes and environment its devices are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from partita_driver.cdi.files import cdi_device_name, cdi_id, environment
from partita_driver.cdi.lint import CdiDevice, CdiNode, ContainerEdits
from partita_driver.engine.device_records import offered_device, share_of
from partita_driver.engine.instances import find_instance
from partita_driver.engine.tools import Tools
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_plugins.contracts import strategy_name
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import DeviceNode
from partita_plugins.model.offer import DeviceKind


def write_cdi(tools: Tools, claim: ClaimRecord) -> ClaimRecord:
    """Write a claim's CDI file from the hardware as it is now. Returns the record with ids and UUIDs."""
    with tools.timed("cdi"):
        counts: Counter[str] = Counter()
        names: set[str] = set()
        devices, records = [], []
        for device in claim.devices:
            name = cdi_device_name(claim.uid, device.device, device.share_id)
            name = name if name not in names else f"{name}-{device.request}"
            names.add(name)
            shown = _shown(tools, claim.uid, device)
            devices.append(_cdi_device(tools, name, device, shown, counts[device.request]))
            counts[device.request] += 1
            records.append(msgspec.structs.replace(device, uuid=shown.uuid, cdi_ids=(cdi_id(name),)))
        tools.cdi.write(claim.uid, devices)
    return msgspec.structs.replace(claim, devices=tuple(records))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a container sees through one device."""

    uuid: str
    """Of the GPU or MIG device; of several all, joined by commas."""

    gpus: tuple[Gpu, ...]
    nodes: tuple[DeviceNode, ...]
    mps: ContainerEdits
    """What makes it a client of the claim's MPS daemon."""


def _shown(tools: Tools, claim_uid: str, device: DeviceRecord) -> _Shown:
    """A device's GPUs and nodes; a monitor's are all that the node has now, and no GPU is asked for them."""
    gpus = tools.node.gpus
    if device.kind is DeviceKind.MONITOR:
        every = tuple(gpus.values())
        return _Shown(
            uuid=",".join(gpu.uuid for gpu in every),
            gpus=every,
            nodes=tools.hardware.monitor_nodes(),
            mps=ContainerEdits(),
        )
    instance = find_instance(tools, device)
    members = tuple(gpus[slot] for slot in offered_device(device, gpus).slots)
    return _Shown(
        uuid=instance.compute_instances[0].mig_uuid if instance else ",".join(device.gpu_uuids),
        gpus=members,
        nodes=tuple(node for gpu_uuid in device.gpu_uuids for node in tools.hardware.nodes(gpu_uuid, instance)),
        mps=tools.mps.edits(claim_uid) if device.mps and tools.mps else ContainerEdits(),
    )


def _cdi_device(tools: Tools, name: str, device: DeviceRecord, shown: _Shown, index: int) -> CdiDevice:
    offered = offered_device(device, tools.node.gpus)
    strategy = tools.strategies[strategy_name(device.kind, mps=device.mps)]
    told = {
        "KIND": str(device.kind),
        "UUID": shown.uuid,
        "DEVICE": device.device,
        "PRODUCT": ",".join(dict.fromkeys(gpu.product for gpu in shown.gpus)),
        "PCI_BUS_ID": ",".join(gpu.pci_bus_id for gpu in shown.gpus),
        **strategy.environment(offered, tools.node.gpus, share_of(device)),
    }
    if device.placement:
        told["PLACEMENT"] = f"{device.placement.start}:{device.placement.size}"
    # GPUs of one node bring the same control nodes.
    nodes = {node.path: CdiNode.of(node) for node in shown.nodes}
    env = [*environment(device.request, index, told), *shown.mps.env]
    edits = ContainerEdits(env=env, device_nodes=list(nodes.values()), mounts=shown.mps.mounts)
    return CdiDevice(name=name, container_edits=edits)
