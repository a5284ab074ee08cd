"""Why a node cannot take a pod, as values that group over nodes and read as plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_SUMMARY = 1000
"""Characters of a summary: an event holds 1,024."""


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One finding about one node. Nodes with equal sentences are counted together."""

    code: str
    """Machine-readable, for metrics and tests: "no_match", "taken", "tainted", "memory", "constraint"…"""

    text: str
    """A clause in plain words without the node's name: "no 3g free"."""


def summarise(reasons: Mapping[str, tuple[Reason, ...]]) -> str:
    """One plain line: "3 nodes: no 3g free; 2 nodes: GPU 4 quarantined (fault: stuck-bit)". Most nodes first.

    At most MAX_SUMMARY characters; what does not fit is counted. Empty when there is nothing to say.
    """
    groups: dict[str, int] = {}
    for found in reasons.values():
        text = ", ".join(dict.fromkeys(reason.text for reason in found)) or "no reason found"
        groups[text] = groups.get(text, 0) + 1
    line = ""
    ordered = sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    for index, (text, count) in enumerate(ordered):
        clause = f"{count} node{'s' if count > 1 else ''}: {text}"
        rest = sum(n for _, n in ordered[index:])
        if line and len(line) + len(clause) > MAX_SUMMARY - 60:
            return f"{line}; {rest} more node{'s' if rest > 1 else ''} for other reasons"
        line = f"{line}; {clause}" if line else clause[:MAX_SUMMARY]
    return line
