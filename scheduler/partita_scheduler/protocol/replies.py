"""What filter and prioritize are told."""

from __future__ import annotations

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


class HostPriority(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A node's score, 0 to 10. kube-scheduler multiplies it by the extender's weight and by ten."""

    host: str
    score: int


def render_filter(args: ExtenderArgs, answer: ExtenderFilterResult) -> bytes:
    """The answer to /filter. Where all nodes stay, their names go back as they came."""
    if not args.raw_names or len(answer.node_names) != len(args.node_names):
        return msgspec.json.encode(answer)
    head, tail = msgspec.json.encode(msgspec.structs.replace(answer, node_names=[])).split(b'"NodeNames":[]')
    return b"".join((head, b'"NodeNames":', args.raw_names, tail))
