"""The processes on a simulated GPU: pure functions over its record, like rules.py."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from partita_plugins.backends.simulated.records import ComputeRecord, GpuRecord
from partita_plugins.backends.simulated.rules import find, refuse
from partita_plugins.errors import NvmlCode
from partita_plugins.model.instances import GpuProcess

PID_MAX = 2**22
"""PIDs are below this on 64-bit Linux."""

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def pid_of(client: str) -> int:
    """The PID of a simulated process: FNV-1a of its name, so that whoever reads the record finds the same one."""
    value = _FNV_OFFSET
    for byte in client.encode():
        value = (value ^ byte) * _FNV_PRIME % 2**32
    return 2 + value % (PID_MAX - 2)


def processes(record: GpuRecord) -> tuple[GpuProcess, ...]:
    """What holds the GPU and its instances, by PID."""
    on_gpu = [GpuProcess(pid=pid_of(client), name=client) for client in record.clients]
    on_instances = [
        GpuProcess(pid=pid_of(client), name=client, gpu_instance_id=instance.gpu_instance_id)
        for instance in record.instances
        for compute in instance.compute
        for client in compute.clients
    ]
    return tuple(sorted((*on_gpu, *on_instances), key=lambda one: (one.pid, one.gpu_instance_id or 0)))


def start(record: GpuRecord, client: str, gpu_instance_id: int | None) -> GpuRecord:
    """A process opens the GPU, or the compute instance of one of its instances."""
    if gpu_instance_id is None:
        return replace(record, clients=(*record.clients, client))
    return _with_clients(record, gpu_instance_id, lambda clients: (*clients, client))


def stop(record: GpuRecord, client: str) -> GpuRecord:
    """The process ends, wherever it was."""
    record = replace(record, clients=_without(record.clients, client))
    for instance in record.instances:
        if instance.compute:
            record = _with_clients(record, instance.gpu_instance_id, lambda clients: _without(clients, client))
    return record


def _without(clients: tuple[str, ...], client: str) -> tuple[str, ...]:
    return tuple(one for one in clients if one != client)


def _with_clients(
    record: GpuRecord, gpu_instance_id: int, change: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> GpuRecord:
    instance = find(record, gpu_instance_id)
    if not instance.compute:
        refuse(NvmlCode.NOT_FOUND, f"GPU instance {gpu_instance_id} has no compute instance to open")
    compute: tuple[ComputeRecord, ...] = tuple(replace(one, clients=change(one.clients)) for one in instance.compute)
    changed = replace(instance, compute=compute)
    return replace(record, instances=tuple(changed if one is instance else one for one in record.instances))
