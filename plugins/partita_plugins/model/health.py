"""What a GPU reports of itself, and what is thought of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from partita_plugins.model.mig import Placement


class HealthState(StrEnum):
    """What the driver thinks of a GPU."""

    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "Unknown"


MIG_CHANGE = "mig-change"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthEvent:
    """Something a GPU reported by itself (NVML event)."""

    gpu_uuid: str
    kind: str
    """"xid"; "gpu-lost"; "ecc", which is uncorrectable; "remap-pending" and "remap-failed" of the row remapper;
    "recovery-" and "reset", "reboot", "drain-p2p" or "drain-and-reset" (NVML's recovery action, field 230).
    And MIG_CHANGE, where nothing is wrong: somebody has changed a GPU's mode or instances, perhaps this driver."""

    xid: int | None = None
    message: str = ""
    placements: tuple[Placement, ...] = field(default=())
    """The part of the GPU it concerns; empty: all of it."""
