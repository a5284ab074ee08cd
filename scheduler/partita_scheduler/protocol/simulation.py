"""What-ifs: a question of ours, for people and autoscalers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, field

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.cluster.view import Pod
from partita_scheduler.protocol.bodies import Asked, bounded, decode, decode_names, pod_of, raw_names

MAX_SIMULATED_CLAIMS = 64
MAX_SIMULATED_PODS = 500

Pods = Annotated[list[Pod], Meta(max_length=MAX_SIMULATED_PODS)]
Claims = Annotated[list[ResourceClaim], Meta(max_length=MAX_SIMULATED_CLAIMS)]


class _SimulationArgs(Asked, kw_only=True):
    pods: Pods = field(name="Pods", default_factory=list)
    pods_camel: Pods = field(name="pods", default_factory=list)
    claims: Claims = field(name="Claims", default_factory=list)
    claims_camel: Claims = field(name="claims", default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationArgs:
    """A what-if: one pod or several, the claims that they would have, and the nodes to look at (none: all)."""

    pods: tuple[Pod, ...]
    """In order: each goes to its best node before the next one is looked at."""

    alone: bool
    """One pod was given as `pod`: the answer is its report, node by node."""

    node_names: tuple[str, ...]
    claims: tuple[ResourceClaim, ...]


def parse_simulation(raw: bytes) -> SimulationArgs:
    """The body of /simulate: {"pod": {…} or "pods": [{…}], "claims": […], "nodeNames": […]}, the last two optional."""
    args = decode(raw, _SimulationArgs)
    names = raw_names(args)
    several = [*args.pods, *args.pods_camel]
    if several and (args.pod or args.pod_camel):
        raise InvalidInput("the request has both pod and pods", advice="put all of them into pods")
    return SimulationArgs(
        pods=tuple(map(bounded, several)) if several else (pod_of(args),),
        alone=not several,
        node_names=() if names == b"null" else decode_names(names),
        claims=tuple([*args.claims, *args.claims_camel][:MAX_SIMULATED_CLAIMS]),
    )
