"""What a reset, a reboot and the processes on a GPU do to its record: pure, like rules.py."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from partita_plugins.backends.simulated.records import ComputeRecord, GpuRecord
from partita_plugins.backends.simulated.rules import find, refuse
from partita_plugins.errors import NvmlCode
from partita_plugins.model.gpu import MigSupport


def reset(record: GpuRecord) -> GpuRecord:
    """After a GPU reset: a pending mode is current, instances are gone. IN_USE while anything runs."""
    clients = [*record.clients, *(client for one in record.instances for ci in one.compute for client in ci.clients)]
    if clients:
        refuse(NvmlCode.IN_USE, f"in use by {clients[0]}", "stop every process on the GPU")
    return GpuRecord(
        mig_enabled=record.mig_pending,
        mig_pending=record.mig_pending,
        made=record.made,
        moves=record.moves + 1,
    )


def reboot(record: GpuRecord, mig: MigSupport | None) -> GpuRecord:
    """After a reboot: no instance and no process is left; only Ampere keeps its MIG mode (in the InfoROM)."""
    enabled = record.mig_pending and mig is not None and mig.mode_needs_reset
    return GpuRecord(mig_enabled=enabled, mig_pending=enabled, made=record.made, moves=record.moves + 1)


def start_client(record: GpuRecord, client: str, gpu_instance_id: int | None) -> GpuRecord:
    """A process opens the GPU, or the compute instance of one of its instances."""
    if gpu_instance_id is None:
        return replace(record, clients=(*record.clients, client))
    return _with_clients(record, gpu_instance_id, lambda clients: (*clients, client))


def stop_client(record: GpuRecord, client: str) -> GpuRecord:
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
