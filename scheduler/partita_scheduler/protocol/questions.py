"""What filter and prioritize ask."""

from __future__ import annotations

from dataclasses import dataclass

from partita_plugins.errors import InvalidInput
from partita_scheduler.cluster.view import Pod
from partita_scheduler.protocol.bodies import Asked, decode, decode_names, pod_of, raw_names

MAX_LISTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtenderArgs:
    """One question of kube-scheduler: a pod, and the nodes that all in-tree filters let pass."""

    pod: Pod
    node_names: tuple[str, ...]
    raw_names: bytes = b""
    """The same as they came, in JSON; empty where they did not."""


class NameLists:
    """The latest lists of node names, by their JSON: filter and prioritize of one pod bring the same one."""

    def __init__(self) -> None:
        self._known: tuple[tuple[bytes, tuple[str, ...]], ...] = ()

    def names(self, raw: bytes) -> tuple[str, ...]:
        """The names, as the same object for the same list. Raises InvalidInput."""
        found = next((names for known, names in self._known if known == raw), None)
        if found is None:
            found = decode_names(raw)
            self._known = ((raw, found), *self._known[: MAX_LISTS - 1])
        return found


def parse_args(raw: bytes, lists: NameLists | None = None) -> ExtenderArgs:
    """The body of /filter and /prioritize. Raises InvalidInput that says what is wrong with it."""
    args = decode(raw, Asked)
    names = raw_names(args)
    if names == b"null":
        if bytes(args.nodes) != b"null" or bytes(args.nodes_camel) != b"null":
            raise InvalidInput(
                "the request has full Nodes instead of NodeNames",
                advice="set nodeCacheCapable: true in this extender's stanza of the kube-scheduler configuration",
            )
        raise InvalidInput("the request has no NodeNames", advice='send {"Pod": {…}, "NodeNames": ["…"]}')
    pod = pod_of(args)
    return ExtenderArgs(pod=pod, node_names=lists.names(names) if lists else decode_names(names), raw_names=names)
