"""Victims, in and out: the answer to preempt is the one that changes nothing."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, field

from partita_plugins.wire.objects import ObjectMeta
from partita_scheduler.protocol.bodies import MAX_NODE_NAMES, NodeName, decode


class MetaPod(msgspec.Struct, frozen=True, kw_only=True):
    """A victim, by UID."""

    uid: str = field(name="UID", default="")


class MetaVictims(msgspec.Struct, frozen=True, kw_only=True):
    """What preemption would evict from one node."""

    pods: list[MetaPod] = field(name="Pods", default_factory=list)
    num_pdb_violations: int = field(name="NumPDBViolations", default=0)


class ExtenderPreemptionResult(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that remain candidates for preemption, with their victims."""

    node_name_to_meta_victims: dict[str, MetaVictims] = field(name="NodeNameToMetaVictims")


class _Victim(msgspec.Struct, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()


class _Victims(msgspec.Struct, kw_only=True):
    pods: list[_Victim] | None = field(name="Pods", default=None)
    num_pdb_violations: int = field(name="NumPDBViolations", default=0)


Candidates = Annotated[dict[NodeName, MetaVictims], Meta(max_length=MAX_NODE_NAMES)]
FullCandidates = Annotated[dict[NodeName, _Victims], Meta(max_length=MAX_NODE_NAMES)]


class _PreemptionArgs(msgspec.Struct, kw_only=True):
    meta: Candidates | None = field(name="NodeNameToMetaVictims", default=None)
    meta_camel: Candidates | None = field(name="nodeNameToMetaVictims", default=None)
    full: FullCandidates | None = field(name="NodeNameToVictims", default=None)


def parse_preemption(raw: bytes) -> ExtenderPreemptionResult:
    """The body of /preempt as the answer that changes nothing. Full victims are answered by UID, as Go expects."""
    args = decode(raw, _PreemptionArgs)
    victims = args.meta if args.meta is not None else args.meta_camel
    if victims is None:
        victims = {node: _by_uid(full) for node, full in (args.full or {}).items()}
    return ExtenderPreemptionResult(node_name_to_meta_victims=victims)


def _by_uid(full: _Victims) -> MetaVictims:
    pods = [MetaPod(uid=victim.metadata.uid) for victim in full.pods or []]
    return MetaVictims(pods=pods, num_pdb_violations=full.num_pdb_violations)
