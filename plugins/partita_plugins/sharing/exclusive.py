"""Whole GPUs and groups of them: one claim has everything, so the hardware stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.contracts import ShareRequest
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import OfferedDevice
from partita_plugins.model.steps import Step


class Exclusive:
    """SharingStrategy for GPU and GROUP devices."""

    name = "exclusive"

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:  # noqa: ARG002 - the contract's
        """Nothing to do, nothing to undo."""
        return ()

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:  # noqa: ARG002 - the contract's
        """MEMORY_MIB: of all GPUs together."""
        return {"MEMORY_MIB": str(sum(gpus[slot].memory_mib for slot in device.slots))}
