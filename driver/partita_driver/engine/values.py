"""What the engine hands to the driver's edge."""

from __future__ import annotations

from dataclasses import dataclass

from partita_driver.journal.records import ClaimRecord, DeviceRecord, ValidationSummary
from partita_driver.lifecycle import ClaimState
from partita_plugins.model.offer import DeviceKind
from partita_plugins.wire import pool_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDevice:
    """One device of a prepared claim, as the kubelet and the claim's status want it."""

    request_names: tuple[str, ...]
    """"main/sub" is already cut to "main"."""

    pool: str
    device: str
    cdi_ids: tuple[str, ...]
    share_id: str | None
    uuid: str
    """Of the GPU or MIG device; of a group all, joined by commas."""

    validation: ValidationSummary | None
    """None for admin access and where no validator runs."""

    kind: DeviceKind
    gpu_uuids: tuple[str, ...]
    """The GPUs it lives on, by slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedClaim:
    """A claim of this node and all that it holds."""

    uid: str
    namespace: str
    name: str
    state: ClaimState
    devices: tuple[PreparedDevice, ...]


def prepared_device(record: DeviceRecord, node_name: str) -> PreparedDevice:
    """A journalled device as the edge sees it."""
    return PreparedDevice(
        request_names=(record.request,),
        pool=pool_name(node_name),
        device=record.device,
        cdi_ids=record.cdi_ids,
        share_id=record.share_id,
        uuid=record.uuid,
        validation=record.validation,
        kind=record.kind,
        gpu_uuids=record.gpu_uuids,
    )


def prepared_claim(record: ClaimRecord, node_name: str) -> PreparedClaim:
    """A journalled claim as the edge sees it."""
    return PreparedClaim(
        uid=record.uid,
        namespace=record.namespace,
        name=record.name,
        state=record.state,
        devices=tuple(prepared_device(device, node_name) for device in record.devices),
    )
