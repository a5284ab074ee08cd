"""What filter, choose and prioritize are told."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from partita_scheduler.protocol.questions import ExtenderArgs


class ExtenderFilterResult(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The nodes that stay, a subset of those asked about. None or an empty list refuses every node."""

    nodes: None = None
    node_names: list[str]
    failed_nodes: dict[str, str] = {}
    """Node to reason, where preemption might help."""

    failed_and_unresolvable_nodes: dict[str, str] = {}
    error: str = ""


class Choice(msgspec.Struct, frozen=True):
    """The node that is to stay."""

    node: str = ""
    """Empty where we prefer none: then all stay but those refused."""

    refused: Mapping[str, str] = {}
    """As filter refuses them."""


class HostPriority(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A node's score, 0 to 10. kube-scheduler multiplies it by the extender's weight and by ten."""

    host: str
    score: int


def render_filter(args: ExtenderArgs, refused: Mapping[str, str]) -> bytes:
    """The answer to /filter, given the nodes to refuse with the reason. Where none is, names go back as they came."""
    if not refused:
        return render_all(args.raw_names)
    kept = [name for name in args.node_names if name not in refused]
    return msgspec.json.encode(ExtenderFilterResult(node_names=kept, failed_nodes=dict(refused)))


def render_choice(args: ExtenderArgs, choice: Choice) -> bytes:
    """The answer to /choose. Nodes that are not chosen are not called failed: nothing is wrong with them."""
    return render_all(msgspec.json.encode([choice.node])) if choice.node else render_filter(args, choice.refused)


def render_all(names: bytes) -> bytes:
    """The answer to /filter that keeps all nodes, given their names in JSON."""
    return b"".join((_HEAD, names, _TAIL))


_HEAD, _TAIL = msgspec.json.encode(ExtenderFilterResult(node_names=["*"])).split(b'["*"]')
