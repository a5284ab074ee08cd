"""What filter, choose and prioritize ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from partita_plugins.errors import InvalidInput
from partita_scheduler.cluster.view import Pod
from partita_scheduler.protocol.bodies import Asked, decode, decode_names, pod_of, raw_names

MAX_LISTS = 4


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


@dataclass(frozen=True, kw_only=True)
class ExtenderArgs:
    """One question of kube-scheduler: a pod, and the nodes that all in-tree filters let pass."""

    pod: Pod
    raw_names: bytes
    """A list in JSON, as it came."""

    lists: NameLists = field(default_factory=NameLists)

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """Decoded when first asked for: most pods are none of ours, and get the list back as it came.

        Raises InvalidInput.
        """
        return self.lists.names(self.raw_names)


def parse_args(raw: bytes, lists: NameLists | None = None) -> ExtenderArgs:
    """The body of /filter, /choose and /prioritize. Raises InvalidInput that says what is wrong with it.

    That each name is one shows when they are looked at.
    """
    args = decode(raw, Asked)
    names = raw_names(args)
    if names == b"null":
        if bytes(args.nodes) != b"null" or bytes(args.nodes_camel) != b"null":
            raise InvalidInput(
                "the request has full Nodes instead of NodeNames",
                advice="set nodeCacheCapable: true in this extender's stanza of the kube-scheduler configuration",
            )
        raise InvalidInput("the request has no NodeNames", advice='send {"Pod": {…}, "NodeNames": ["…"]}')
    if not names.startswith(b"["):
        decode_names(names)
    return ExtenderArgs(pod=pod_of(args), raw_names=names, lists=lists or NameLists())
