"""What a reset and a reboot do to a GPU's record: pure, like rules.py."""

from __future__ import annotations

from partita_plugins.backends.simulated.records import GpuRecord
from partita_plugins.backends.simulated.rules import refuse
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
