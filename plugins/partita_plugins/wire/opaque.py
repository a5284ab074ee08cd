"""What users write into a claim's or class's opaque parameters for our driver: decoded strictly.

apiVersion: gpu.partita.dev/v1alpha1
kind: GpuConfig
timeSlice: Short

or, for an MPS daemon of the claim's own:

sharing: MPS
activeThreadPercentage: 25
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource_claim import DeviceConfig

API_VERSION = "gpu.partita.dev/v1alpha1"


class GpuConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How the devices of some requests are to be used."""

    api_version: Literal["gpu.partita.dev/v1alpha1"] = msgspec.field(name="apiVersion")
    kind: Literal["GpuConfig"]
    time_slice: Literal["Default", "Short", "Medium", "Long"] = "Default"
    """Quantum of a shared GPU."""

    sharing: Literal["TimeSlicing", "MPS"] = "TimeSlicing"
    """How the programs of one claim share its GPU."""

    active_thread_percentage: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    """What each program under MPS may use of the multiprocessors; None: all of them."""


DEFAULT_CONFIG = GpuConfig(api_version="gpu.partita.dev/v1alpha1", kind="GpuConfig")


def decode_config(parameters: msgspec.Raw | bytes) -> GpuConfig:
    """Opaque parameters as a GpuConfig. Raises InvalidInput that names the field."""
    try:
        config = msgspec.json.decode(parameters, type=GpuConfig)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"opaque parameters of {API_VERSION}: {error}",
            advice='write {"apiVersion": "gpu.partita.dev/v1alpha1", "kind": "GpuConfig", "timeSlice": "Short"}',
        ) from error
    if config.active_thread_percentage is not None and config.sharing != "MPS":
        raise InvalidInput(
            f"opaque parameters of {API_VERSION}: activeThreadPercentage without MPS", advice='add "sharing": "MPS"'
        )
    return config


def config_for(request: str, configs: list[DeviceConfig], driver: str) -> GpuConfig:
    """The config of one allocated request: class before claim, later entries win, "main" also covers "main/sub"."""
    chosen = DEFAULT_CONFIG
    for source in ("FromClass", "FromClaim"):
        for entry in configs:
            if entry.source == source and entry.opaque and entry.opaque.driver == driver:
                config = decode_config(entry.opaque.parameters)
                if (
                    not entry.requests
                    or request in entry.requests
                    or request.split("/", maxsplit=1)[0] in entry.requests
                ):
                    chosen = config
    return chosen
