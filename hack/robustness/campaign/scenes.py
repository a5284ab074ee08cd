"""How the driver is led to each fault point: which call, for which devices, after what.

A point that many calls pass has several scenes, and the modes take turns with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from hack.robustness.campaign.node import Node, Wish, damage, orphan

from partita_driver.journal.copies import COPIES
from partita_plugins.backends.simulated import StuckBit
from partita_plugins.backends.simulated.options import WORDS_PER_GPU
from partita_plugins.wire.device_names import MONITOR_NAME

Hands = Callable[[Node], None]
"""What somebody does to the node."""


class Act(StrEnum):
    """What the driver is doing when the fault strikes."""

    PREPARE = "prepare"
    AHEAD = "ahead"
    """kube-scheduler has allocated the target and waits for its validation before it binds the pod."""

    REPLAY = "replay"
    UNPREPARE = "unprepare"
    START = "start"
    HEAL = "heal"
    """Quarantined hardware is well again, and the driver finds out."""

    IDLE = "idle"
    """The target was given back, and its GPU is looked at."""

    RECONCILE = "reconcile"
    """The target's claim is gone from the API."""


TARGETS: Mapping[str, Callable[[Node], Wish]] = {
    "partition": lambda node: Wish((node.partition(0, "3g", 4),)),
    "first-partition": lambda node: Wish((node.partition(2, "1g", 0),)),
    "two-partitions": lambda node: Wish((node.partition(2, "3g", 4), node.partition(2, "1g", 0))),
    "whole": lambda node: Wish((node.whole(3),)),
    "group": lambda _node: Wish(("group-2-4-5",)),
    "share": lambda node: Wish((node.shared(1),)),
    "first-share": lambda node: Wish((node.shared(6),)),
    "monitor": lambda _node: Wish((MONITOR_NAME,), admin=True),
    "admin": lambda node: Wish((node.partition(0, "1g", 0),), admin=True),
}
"""What the call at the fault is about. The bystanders' GPUs 0 and 1 are shared with it in "partition" and "share"."""

BYSTANDERS: Mapping[str, Callable[[Node], Wish]] = {
    "partition": lambda node: Wish((node.partition(0, "1g", 0),)),
    "share": lambda node: Wish((node.shared(1),)),
    "whole": lambda node: Wish((node.whole(7),)),
}
"""Claims that are prepared before and that must not notice anything."""


def _nothing(_node: Node) -> None:
    """Nobody does anything."""


def _break(slot: int, memory_slice: int) -> Hands:
    def act(node: Node) -> None:
        word = memory_slice * WORDS_PER_GPU // 8 + 5
        node.machine.faults.plant(StuckBit(gpu_uuid=node.gpus[slot].uuid, word=word, bit=7))

    return act


def _damage_both(node: Node) -> None:
    for copy in COPIES:
        damage(node.folders.journal / copy)


def _lose_cdi(node: Node) -> None:
    min(node.folders.cdi.glob("*.json")).unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One way to a point."""

    act: Act
    target: str = "partition"
    nth: int = 1
    """At which time that the point is reached during the act."""

    hands: Hands = _nothing
    """Before the act; at a start while no driver runs, otherwise before the first one."""

    fresh: bool = False
    """The very first start on the node: nobody holds anything."""

    broken: bool = False
    """The hands broke the target's hardware: Prepare is refused until it heals."""

    abandoned: bool = False
    """The target's pod is deleted before it is bound, while no driver runs."""

    journal_lost: bool = False
    """Both copies are damaged: with tmpfs gone as well nothing is left to find claims by."""


def _each(act: Act, *targets: str, nth: int = 1) -> tuple[Scene, ...]:
    return tuple(Scene(act=act, target=target, nth=nth) for target in targets or TARGETS)


_PREPARE, _UNPREPARE = _each(Act.PREPARE), _each(Act.UNPREPARE)
_IDLE = _each(Act.IDLE, "whole", "group", "first-share")
_JOURNAL = (
    Scene(act=Act.PREPARE, target="first-partition"),
    Scene(act=Act.UNPREPARE, target="partition"),
    Scene(act=Act.PREPARE, target="group", nth=2),
    Scene(act=Act.UNPREPARE, target="first-share", nth=2),
    Scene(act=Act.PREPARE, target="partition", nth=2),
)
_START = Scene(act=Act.START)
_FRESH = Scene(act=Act.START, fresh=True)
_DAMAGED = replace(_START, hands=_damage_both, journal_lost=True)
_HALF_DAMAGED = replace(_START, hands=lambda node: damage(node.folders.journal / COPIES[0]))
_BROKEN = (
    Scene(act=Act.PREPARE, target="whole", hands=_break(3, 0), broken=True),
    Scene(act=Act.PREPARE, target="partition", hands=_break(0, 5), broken=True),
)
_HEALED = tuple(replace(scene, act=Act.HEAL) for scene in _BROKEN)
_MIG_BY_HAND = Scene(
    act=Act.PREPARE, target="whole", hands=lambda node: node.machine.switch_mig(node.gpus[3].uuid, enabled=True)
)

_AHEAD = _each(Act.AHEAD, "partition", "whole", "group", "share", "admin")
_ABANDONED = tuple(replace(scene, abandoned=True) for scene in _each(Act.AHEAD, "first-partition", "first-share"))
_BROKEN_AHEAD = tuple(replace(scene, act=Act.AHEAD) for scene in _BROKEN)

SCENES: Mapping[str, tuple[Scene, ...]] = {
    "slots-given": (_FRESH,),
    "journal-set-aside": (_DAMAGED, _HALF_DAMAGED),
    "boot-noted": (_START, replace(_START, hands=Node.reboot)),
    "rebuilt": (_DAMAGED,),
    "cdi-swept": (replace(_START, hands=lambda node: orphan(node.folders.cdi)),),
    "plugin-listening": (_START, _FRESH),
    "journal-half-written": _JOURNAL,
    "journal-written": _JOURNAL,
    "journal-half-renamed": _JOURNAL,
    "journal-renamed": _JOURNAL,
    "journal-synced": _JOURNAL,
    "claim-read": _PREPARE,
    "intended": _PREPARE,
    "mig-left": (_MIG_BY_HAND,),
    "done-enable-mig": _each(Act.PREPARE, "first-partition", "two-partitions"),
    "done-create-gpu-instance": _each(Act.PREPARE, "partition", "first-partition", "two-partitions"),
    "done-create-compute-instance": (
        *_each(Act.PREPARE, "partition", "first-partition"),
        *_each(Act.PREPARE, "two-partitions", nth=2),
        *_ABANDONED[:1],
    ),
    "done-set-time-slice": _each(Act.PREPARE, "first-share"),
    "made": _PREPARE,
    "checked": _PREPARE,
    "cdi-written": _PREPARE,
    "cdi-renamed": _PREPARE,
    "cdi-handed": _PREPARE,
    "prepared": _PREPARE,
    "made-ahead": (*_AHEAD, *_ABANDONED),
    "bind-answered": (*_AHEAD[:3], *_ABANDONED, *_BROKEN_AHEAD[:1]),
    "replay-written": _each(Act.REPLAY),
    "undo-intended": _UNPREPARE,
    "cdi-removed": _UNPREPARE,
    "undone-create-compute-instance": _each(Act.UNPREPARE, "partition", "first-partition", "two-partitions"),
    "undone-create-gpu-instance": _each(Act.UNPREPARE, "partition", "first-partition", "two-partitions"),
    "undone-enable-mig": _each(Act.UNPREPARE, "first-partition", "two-partitions"),
    "undone-set-time-slice": _each(Act.UNPREPARE, "first-share"),
    "undo-done": _UNPREPARE,
    "forgotten": _UNPREPARE,
    "unprepared": _UNPREPARE,
    "quarantined": (*_BROKEN, *_BROKEN_AHEAD),
    "lifted": _HEALED,
    "revalidated": _HEALED,
    "idle-intended": _IDLE,
    "idle-looked": _IDLE,
    "mended": (replace(_START, hands=_lose_cdi),),
    "claims-gone": _each(Act.RECONCILE),
    "slice-written": (_FRESH, *_BROKEN),
    "slices-published": (_START, _FRESH),
    "status-written": _PREPARE,
    "settings-written": (_START, _FRESH),
}
"""Every fault point of the driver (a test compares with its table)."""


def scene_of(point: str, turn: int) -> Scene:
    """The scene for a point when it is its turn."""
    scenes = SCENES[point]
    return scenes[turn % len(scenes)]
