"""What the journal holds, as values."""

from __future__ import annotations

from typing import Literal

import msgspec

from partita_driver.health.faults import Fault
from partita_driver.lifecycle import ClaimEvent, ClaimState, advance
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.steps import Step


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all journal values: frozen, defaults left out, fields of a newer version ignored."""


SWITCHED_OFF = "off"
"""Method of a validation that the node's settings let pass unseen."""


class ValidationSummary(Record, frozen=True, kw_only=True):
    """What is kept of a validation, for the claim's status and events."""

    method: str
    depth: Literal["quick", "full", "skipped"]
    moment: str = ""
    """What it was made for; empty: a release wrote it that made validations in Prepare alone."""

    seconds: float = 0.0
    memory_coverage: float = 0.0
    """Share of the memory that was written and read back, 0 to 1; the least of several GPUs."""

    reason: str = ""
    """Why it was skipped: "shared"."""

    @property
    def looked(self) -> bool:
        """Whether anything was computed at all."""
        return self.method != SWITCHED_OFF and self.depth != "skipped"


class GpuLook(Record, frozen=True, kw_only=True):
    """The last validation of a whole GPU."""

    at: float = 0.0
    """Unix seconds."""

    moment: str = ""
    method: str = ""
    depth: Literal["quick", "full"] = "full"
    passed: bool = True
    seconds: float = 0.0
    memory_coverage: float = 0.0
    next_begin: float = 0.0
    """Where in the memory the next look while idle begins, as a share of it.

    Kept here, for the parts to add up to all of the memory over restarts of the driver too.
    """


class DeviceRecord(Record, frozen=True, kw_only=True):
    """One granted device: what it is, what was done for it, and so what undoes it."""

    request: str
    device: str
    kind: DeviceKind
    slots: tuple[int, ...]
    """Ascending. Empty: known by its name alone, for a GPU of its has not answered since the journal was lost."""

    gpu_uuids: tuple[str, ...]
    """By slot. A GPU that has not answered since the journal was lost stands here by its PCI address."""

    profile_id: int | None = None
    start: int | None = None
    size: int | None = None
    share_id: str | None = None
    memory_mib: int | None = None
    """Granted of a shared GPU."""

    time_slice: str = "Default"
    mps: bool = False
    active_thread_percentage: int | None = None
    """Of each program under MPS."""

    nvlink: str = ""
    """Devices of the claim with the same word here were promised NVLink among each other."""

    admin: bool = False
    steps: tuple[Step, ...] = ()
    cdi_ids: tuple[str, ...] = ()
    uuid: str = ""
    validation: ValidationSummary | None = None

    @property
    def placement(self) -> Placement | None:
        """The part of its GPU that it takes; None: all of its GPUs."""
        return None if self.start is None or self.size is None else Placement(self.start, self.size)

    @property
    def named_alone(self) -> bool:
        """Whether its name is all that is known of it: its GPU has not answered since the journal was lost."""
        return not self.slots and self.kind is not DeviceKind.MONITOR

    @property
    def identity(self) -> tuple[str, str, str | None, bool]:
        """What the allocation says of it; a claim allocated anew differs here."""
        return self.request, self.device, self.share_id, self.admin


class ClaimRecord(Record, frozen=True, kw_only=True):
    """One claim of this node."""

    uid: str
    namespace: str = ""
    name: str = ""
    state: ClaimState = ClaimState.ABSENT
    devices: tuple[DeviceRecord, ...] = ()
    remake: bool = False
    """The next Prepare takes it up with what is there of it, and nobody else gets its place: it was prepared when the
    node rebooted, or its MPS daemon was still starting."""

    ahead: bool = False
    """Made before its pod was bound, for nobody yet: no kubelet will give it back. Ends when it is handed out."""

    unseen: bool = False
    """A GPU of its did not answer when the journal was rebuilt: it is taken as prepared until that can be looked at."""

    @property
    def ready_ahead(self) -> bool:
        """Whether it waits, checked, for the Prepare that hands it out."""
        return self.ahead and self.state is ClaimState.CHECKED

    def after(self, event: ClaimEvent) -> ClaimRecord:
        """The claim after an event. Raises IllegalTransition."""
        return msgspec.structs.replace(self, state=advance(self.state, event))


class JournalState(Record, frozen=True, kw_only=True):
    """All that the driver remembers. Values only: a change makes a new one."""

    boot_id: str = ""
    slots: dict[str, int] = {}
    """PCI address to slot, given once."""

    unconfirmed: bool = False
    """Begun anew, and the API server has not been asked yet what it knows: nothing is given away until then."""

    claims: dict[str, ClaimRecord] = {}
    """By claim UID. An absent claim has no entry."""

    faults: tuple[Fault, ...] = ()
    clean: tuple[str, ...] = ()
    """UUIDs of GPUs that passed a full validation and that nobody has used since."""

    looks: dict[str, GpuLook] = {}
    """By GPU UUID."""

    def with_claim(self, claim: ClaimRecord) -> JournalState:
        """The same with one claim's record put or, when absent, taken out."""
        claims = {**self.claims, claim.uid: claim}
        if claim.state is ClaimState.ABSENT:
            del claims[claim.uid]
        return msgspec.structs.replace(self, claims=claims)
