"""Claims of the driver's own, which the API does not know: nobody is handed the hardware while it is looked at."""

from __future__ import annotations

from partita_driver.engine.device_records import record_of
from partita_driver.engine.tools import Tools
from partita_driver.journal.records import DeviceRecord
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import OfferedDevice
from partita_plugins.wire.device_names import format_name

OWN_CLAIM = "revalidate-"
"""Prefix of their UIDs; the first release's, which has to know them after a rollback."""


def own_claim_uid(gpu: Gpu) -> str:
    """UID of the claim under which a GPU is validated."""
    return f"{OWN_CLAIM}{gpu.pci_label}"


def own_device(tools: Tools, offered: OfferedDevice) -> DeviceRecord:
    """A device of an own claim."""
    return record_of(offered, format_name(offered, tools.node.gpus), tools.node.gpus, tools.strategies, request="own")
