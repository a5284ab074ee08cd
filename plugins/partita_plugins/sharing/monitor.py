"""The node's monitor: it looks at GPUs that others hold."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.contracts import ShareRequest
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import OfferedDevice
from partita_plugins.model.steps import Step


class Monitor:
    """SharingStrategy for MONITOR devices."""

    name = "monitor"

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:  # noqa: ARG002 - the contract's
        """None: it changes nothing for those who compute."""
        return ()

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:  # noqa: ARG002 - the contract's
        """Nothing: it has a share of no GPU."""
        return {}
