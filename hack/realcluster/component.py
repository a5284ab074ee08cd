"""One process of the cluster, as the supervisor starts it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """A name, a command, and the node in whose mount namespace it runs, if in one."""

    name: str
    command: tuple[str, ...]
    node: str | None = None
