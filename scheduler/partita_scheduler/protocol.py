"""What kube-scheduler sends an extender and takes back: strict and bounded on the way in, exact on the way out.

The types of k8s.io/kube-scheduler/extender/v1 have no JSON tags, so keys are Go field names ("NodeNames"). People write
lower camel, and Go reads any case, so both spellings are read here. Scores are integers: Go refuses 7.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, field

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource import ObjectMeta, ResourceClaim
from partita_scheduler.cluster.view import Pod

T = TypeVar("T")

MAX_BODY_BYTES = 8 * 2**20
"""20,000 names of 253 characters and a pod are below 6 MiB."""

MAX_NODE_NAMES = 20_000
MAX_SIMULATED_CLAIMS = 64
MAX_SIMULATED_PODS = 500
MAX_LISTS = 4
MAX_NAME, MAX_NAMESPACE, MAX_UID = 253, 63, 128

NodeName = Annotated[str, Meta(max_length=MAX_NAME)]
NodeNames = Annotated[tuple[NodeName, ...], Meta(max_length=MAX_NODE_NAMES)]
_NOTHING = Raw(b"null")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtenderArgs:
    """One question of kube-scheduler: a pod, and the nodes that all in-tree filters let pass."""

    pod: Pod
    node_names: tuple[str, ...]
    raw_names: bytes = b""
    """The same as they came, in JSON; empty where they did not."""


class ExtenderFilterResult(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The nodes that stay, a subset of those asked about. None or an empty list refuses every node."""

    nodes: None = None
    node_names: list[str]
    failed_nodes: dict[str, str] = {}
    """Node to reason, where preemption might help."""

    failed_and_unresolvable_nodes: dict[str, str] = {}
    error: str = ""


class HostPriority(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A node's score, 0 to 10. kube-scheduler multiplies it by the extender's weight and by ten."""

    host: str
    score: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationArgs:
    """A what-if: one pod or several, the claims that they would have, and the nodes to look at (none: all)."""

    pods: tuple[Pod, ...]
    """In order: each goes to its best node before the next one is looked at."""

    alone: bool
    """One pod was given as `pod`: the answer is its report, node by node."""

    node_names: tuple[str, ...]
    claims: tuple[ResourceClaim, ...]


class _Args(msgspec.Struct, kw_only=True):
    pod: Pod | None = field(name="Pod", default=None)
    pod_camel: Pod | None = field(name="pod", default=None)
    nodes: Raw = field(name="Nodes", default=_NOTHING)
    nodes_camel: Raw = field(name="nodes", default=_NOTHING)
    node_names: Raw = field(name="NodeNames", default=_NOTHING)
    node_names_camel: Raw = field(name="nodeNames", default=_NOTHING)


Pods = Annotated[list[Pod], Meta(max_length=MAX_SIMULATED_PODS)]
Claims = Annotated[list[ResourceClaim], Meta(max_length=MAX_SIMULATED_CLAIMS)]


class _SimulationArgs(_Args, kw_only=True):
    pods: Pods = field(name="Pods", default_factory=list)
    pods_camel: Pods = field(name="pods", default_factory=list)
    claims: Claims = field(name="Claims", default_factory=list)
    claims_camel: Claims = field(name="claims", default_factory=list)


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


class NameLists:
    """The latest lists of node names, by their JSON: filter and prioritize of one pod bring the same one."""

    def __init__(self) -> None:
        self._known: tuple[tuple[bytes, tuple[str, ...]], ...] = ()

    def names(self, raw: bytes) -> tuple[str, ...]:
        """The names, as the same object for the same list. Raises InvalidInput."""
        found = next((names for known, names in self._known if known == raw), None)
        if found is None:
            found = _names(raw)
            self._known = ((raw, found), *self._known[: MAX_LISTS - 1])
        return found


def parse_args(raw: bytes, lists: NameLists | None = None) -> ExtenderArgs:
    """The body of /filter and /prioritize. Raises InvalidInput that says what is wrong with it."""
    args = _decode(raw, _Args)
    names = _raw_names(args)
    if names == b"null":
        if bytes(args.nodes) != b"null" or bytes(args.nodes_camel) != b"null":
            raise InvalidInput(
                "the request has full Nodes instead of NodeNames",
                advice="set nodeCacheCapable: true in this extender's stanza of the kube-scheduler configuration",
            )
        raise InvalidInput("the request has no NodeNames", advice='send {"Pod": {…}, "NodeNames": ["…"]}')
    pod = _pod(args)
    return ExtenderArgs(pod=pod, node_names=lists.names(names) if lists else _names(names), raw_names=names)


def parse_simulation(raw: bytes) -> SimulationArgs:
    """The body of /simulate: {"pod": {…} or "pods": [{…}], "claims": […], "nodeNames": […]}, the last two optional."""
    args = _decode(raw, _SimulationArgs)
    names = _raw_names(args)
    several = [*args.pods, *args.pods_camel]
    if several and (args.pod or args.pod_camel):
        raise InvalidInput("the request has both pod and pods", advice="put all of them into pods")
    return SimulationArgs(
        pods=tuple(map(_bounded, several)) if several else (_pod(args),),
        alone=not several,
        node_names=() if names == b"null" else _names(names),
        claims=tuple([*args.claims, *args.claims_camel][:MAX_SIMULATED_CLAIMS]),
    )


def render_filter(args: ExtenderArgs, answer: ExtenderFilterResult) -> bytes:
    """The answer to /filter. Where all nodes stay, their names go back as they came."""
    if not args.raw_names or len(answer.node_names) != len(args.node_names):
        return msgspec.json.encode(answer)
    head, tail = msgspec.json.encode(msgspec.structs.replace(answer, node_names=[])).split(b'"NodeNames":[]')
    return b"".join((head, b'"NodeNames":', args.raw_names, tail))


def _raw_names(args: _Args) -> bytes:
    found = bytes(args.node_names)
    return found if found != b"null" else bytes(args.node_names_camel)


def _names(raw: bytes) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(raw, type=NodeNames)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        told = str(error)[:300].replace("`$", "`$.NodeNames")
        raise InvalidInput(f"the request is not what kube-scheduler sends: {told}") from error


def parse_preemption(raw: bytes) -> ExtenderPreemptionResult:
    """The body of /preempt as the answer that changes nothing. Full victims are answered by UID, as Go expects."""
    args = _decode(raw, _PreemptionArgs)
    victims = args.meta if args.meta is not None else args.meta_camel
    if victims is None:
        victims = {node: _by_uid(full) for node, full in (args.full or {}).items()}
    return ExtenderPreemptionResult(node_name_to_meta_victims=victims)


def _by_uid(full: _Victims) -> MetaVictims:
    pods = [MetaPod(uid=victim.metadata.uid) for victim in full.pods or []]
    return MetaVictims(pods=pods, num_pdb_violations=full.num_pdb_violations)


def _decode(raw: bytes, as_: type[T]) -> T:
    if len(raw) > MAX_BODY_BYTES:
        raise InvalidInput(f"the request is larger than {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(raw, type=as_)
    except RecursionError as error:
        raise InvalidInput("the request is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"the request is not what kube-scheduler sends: {str(error)[:300]}") from error


def _pod(args: _Args) -> Pod:
    pod = args.pod or args.pod_camel
    if pod is None:
        raise InvalidInput("the request has no Pod")
    return _bounded(pod)


def _bounded(pod: Pod) -> Pod:
    bounds = {"name": MAX_NAME, "namespace": MAX_NAMESPACE, "uid": MAX_UID}
    for part, limit in bounds.items():
        if len(getattr(pod.metadata, part)) > limit:
            raise InvalidInput(f"Pod.metadata.{part} is longer than {limit} characters")
    return pod
