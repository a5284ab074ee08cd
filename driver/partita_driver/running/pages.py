"""What the driver answers over HTTP: /metrics, /healthz and /readyz, and what it takes to be ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from partita_driver.engine import ClaimEngine
from partita_driver.kubelet.registration import RegistrationState
from partita_driver.metrics import Metrics, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a driver has come."""

    waiting: bool
    """Another instance has the state folder."""

    newcomer: bool
    """It is there to take over from another: ready while it waits, or the other would never be told to go."""

    serving: bool
    registration: RegistrationState
    settings_known: bool
    unconfirmed: bool
    """The journal begins anew, and the API server has not been asked."""

    published: bool

    @property
    def missing(self) -> list[str]:
        """Why the driver is not ready, in plain words; empty when it is."""
        if self.waiting:
            return [] if self.newcomer else ["another driver owns the state folder"]
        if not self.serving:
            return ["the hardware has not been read yet"]
        reasons = []
        if not self.registration.registered:
            why = self.registration.error or "it has not called yet"
            reasons.append(f"not registered with the kubelet: {why}")
        if not self.settings_known:
            reasons.append("the API server has not given the settings and the Node yet")
        elif self.unconfirmed:
            reasons.append("the journal begins anew, and the API server has not said yet what it knows")
        elif not self.published:
            reasons.append("slices not published yet")
        return reasons


def pages(
    metrics: Metrics, *, engine: Callable[[], ClaimEngine | None], not_ready: Callable[[], list[str]]
) -> Mapping[str, Page]:
    """The pages by path; `engine` is None until the hardware was read."""

    def metrics_page() -> tuple[int, bytes]:
        if known := engine():
            claims = known.prepared().values()
            metrics.set_prepared(device.kind for claim in claims for device in claim.devices)
            now = time.time()
            metrics.set_validation_ages({uuid: now - look.at for uuid, look in known.looks.items() if look.at})
            metrics.set_faults(fault.reason for fault in known.faults())
        return 200, metrics.text()

    def ready_page() -> tuple[int, bytes]:
        reasons = not_ready()
        return (503, ("; ".join(reasons) + "\n").encode()) if reasons else (200, b"ok\n")

    return {"/metrics": metrics_page, "/healthz": _well, "/readyz": ready_page}


def _well() -> tuple[int, bytes]:
    """The process answers: hardware and API server are for readiness."""
    return 200, b"ok\n"
