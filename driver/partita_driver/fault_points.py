"""Named points in the code at which a test may end the process. In production they cost one comparison.

POINTS is every point there is; `hack/chaos --list` prints it, and the campaign kills the driver at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

POINTS: Mapping[str, str] = {
    # start
    "slots-given": "new GPUs have slots in the journal",
    "journal-set-aside": "a damaged copy of the journal has another name",
    "boot-noted": "claims of an earlier boot wait for their replay",
    "rebuilt": "claims of a lost journal are found by their CDI files and journalled, the API is not asked yet",
    "cdi-swept": "what a kill left half-written in the CDI folder is gone",
    "plugin-listening": "the plugin's socket listens, the kubelet is not told of it yet",
    # every change of the journal
    "journal-half-written": "one temporary copy of the journal is durable, the other is not begun",
    "journal-written": "both temporary copies are durable, none is in place",
    "journal-half-renamed": "one copy of the journal is new, the other is old",
    "journal-renamed": "both copies are new, their folder is not durable",
    "journal-synced": "the change is on disk, and memory does not know it yet",
    # Prepare
    "claim-read": "Prepare has read its claim, and nothing is done yet",
    "intended": "the claim and all its steps are journalled, the hardware is as it was",
    "mig-left": "a GPU that is wanted whole has left MIG mode",
    "done-enable-mig": "MIG mode is on, no GPU instance is there",
    "done-create-gpu-instance": "a GPU instance without compute instance",
    "done-create-compute-instance": "the partition is whole, the journal says intended",
    "done-set-time-slice": "the time slice is set, the journal says intended",
    "made": "all steps are done, nothing is validated",
    "checked": "the devices passed, nobody was told",
    "cdi-written": "the CDI file has its content under a temporary name",
    "cdi-renamed": "the CDI file is in place",
    "cdi-handed": "the CDI file is there, the journal does not say prepared",
    "prepared": "the journal says prepared, the kubelet has no answer",
    "made-ahead": "the journal says that the claim is ready for a pod that is not bound, its conditions say nothing",
    "replay-written": "a replayed claim's CDI file is written again, its record is as it was",
    "bind-answered": "a claim's conditions say how it went, and the driver does not know that they do",
    # Unprepare, and undoing what failed
    "undo-intended": "the claim is undoing in the journal, nothing is undone",
    "cdi-removed": "the CDI file is gone, the hardware is as it was",
    "undone-create-compute-instance": "a GPU instance whose compute instance is gone",
    "undone-create-gpu-instance": "the partition is gone, MIG mode is on",
    "undone-enable-mig": "MIG mode is off again",
    "undone-set-time-slice": "the time slice is that of the remaining clients",
    "undo-done": "all is undone, the journal still has the claim",
    "forgotten": "the journal has no trace of the claim",
    "unprepared": "all is given back, the kubelet has no answer",
    # faults
    "quarantined": "a fault is journalled, its taint is not published",
    "lifted": "a fault is lifted in the journal, its taint is still published",
    "revalidated": "quarantined hardware passed under a claim of the driver's own, which still holds it",
    # while idle
    "idle-intended": "a claim of the driver's own has an idle GPU, which is not looked at yet",
    "idle-looked": "an idle GPU passed under a claim of the driver's own, which still holds it",
    # reconciling
    "mended": "a CDI file that was lost is there again, or an orphan is gone",
    "claims-gone": "claims that the API no longer has are known, none is undone",
    # telling
    "slice-written": "one of the slices is written, others may be old",
    "slices-published": "the API server has the pool, nobody was told",
    "status-written": "the claim's status tells of its devices",
    "settings-written": "the settings' text is on disk under a temporary name",
}
"""What is true at each point."""

_hook: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Say that this point is reached."""
    if _hook is not None:
        _hook(point)


@contextmanager
def hooked(hook: Callable[[str], None]) -> Iterator[None]:
    """Call `hook` at every point until the end of the block."""
    global _hook  # noqa: PLW0603 - one process, one hook
    _hook, before = hook, _hook
    try:
        yield
    finally:
        _hook = before
