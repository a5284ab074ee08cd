"""How a granted device is shared: what a sharing strategy promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice
from partita_plugins.model.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """What a claim was granted of its device, and how it wants to share it."""

    memory_mib: int | None = None
    """Of a shared GPU."""

    time_slice: str = "Default"
    mps: bool = False
    """Its programs compute under an MPS daemon of the claim's own."""

    active_thread_percentage: int | None = None
    """Under MPS."""


class SharingStrategy(Protocol):
    """Turns a granted device into hardware steps and into what the container is told."""

    name: str

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:
        """Steps in the order they are done; undone in reverse."""

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:
        """What a program needs to know of its share, without prefix: {"MEMORY_MIB": "10240"}."""


STRATEGY_OF_KIND = {
    DeviceKind.GPU: "exclusive",
    DeviceKind.GROUP: "exclusive",
    DeviceKind.MIG: "mig",
    DeviceKind.SHARED: "timeslice",
    DeviceKind.MONITOR: "monitor",
}
"""Entry point in partita.sharing that handles a kind of device."""

MPS = "mps"
"""The one that handles devices under MPS instead."""

MPS_KINDS = frozenset({DeviceKind.GPU, DeviceKind.SHARED})
"""Devices that a claim may put under MPS: one GPU, which one daemon serves."""


def strategy_name(kind: DeviceKind, *, mps: bool) -> str:
    """Entry point in partita.sharing that handles a device."""
    return MPS if mps else STRATEGY_OF_KIND[kind]
