"""A claim's CDI file, from the hardware as it is now: which device nodes and environment its devices are."""

from __future__ import annotations

from collections import Counter

import msgspec

from partita_driver.cdi.files import cdi_device_name, cdi_id, environment
from partita_driver.cdi.lint import CdiDevice, CdiNode, ContainerEdits
from partita_driver.engine.grants import offered_device, share_of
from partita_driver.engine.make import find_instance
from partita_driver.engine.tools import Tools
from partita_driver.journal.records import ClaimRecord, DeviceRecord
from partita_plugins.contracts import STRATEGY_OF_KIND
from partita_plugins.model.gpu import GpuInstance


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
            instance = find_instance(tools, device)
            devices.append(_cdi_device(tools, name, device, instance, counts[device.request]))
            counts[device.request] += 1
            records.append(msgspec.structs.replace(device, uuid=_uuid(device, instance), cdi_ids=(cdi_id(name),)))
        tools.cdi.write(claim.uid, devices)
    return msgspec.structs.replace(claim, devices=tuple(records))


def _uuid(device: DeviceRecord, instance: GpuInstance | None) -> str:
    return instance.compute_instances[0].mig_uuid if instance else ",".join(device.gpu_uuids)


def _cdi_device(tools: Tools, name: str, device: DeviceRecord, instance: GpuInstance | None, index: int) -> CdiDevice:
    gpus = tools.node.gpus
    offered = offered_device(device, gpus)
    told = {
        "KIND": str(device.kind),
        "UUID": _uuid(device, instance),
        "DEVICE": device.device,
        "PRODUCT": gpus[device.slots[0]].product,
        "PCI_BUS_ID": ",".join(gpus[slot].pci_bus_id for slot in device.slots),
        **tools.strategies[STRATEGY_OF_KIND[device.kind]].environment(offered, gpus, share_of(device)),
    }
    if device.placement:
        told["PLACEMENT"] = f"{device.placement.start}:{device.placement.size}"
    # GPUs of a group bring the same control nodes.
    nodes = {
        node.path: CdiNode.of(node)
        for gpu_uuid in device.gpu_uuids
        for node in tools.hardware.nodes(gpu_uuid, instance)
    }
    edits = ContainerEdits(env=environment(device.request, index, told), device_nodes=list(nodes.values()))
    return CdiDevice(name=name, container_edits=edits)
