"""What `up` writes down so that every later command knows the cluster."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from hack.realcluster.layout import Layout, Ports, node_names

STARTING = "starting"
READY = "ready"


@dataclass(frozen=True, slots=True)
class State:
    """One cluster as it was asked for, how far it came, and what was made for it outside its folder."""

    version: str
    node_count: int
    base_port: int
    extra_gates: tuple[str, ...] = ()
    extra_paths: tuple[str, ...] = ()
    phase: str = STARTING
    made_folders: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return node_names(self.node_count)

    @property
    def ports(self) -> Ports:
        """The ports."""
        return Ports(self.base_port)

    def at(self, phase: str) -> State:
        """Return this state at another phase."""
        return replace(self, phase=phase)

    def asked_as(self, other: State) -> bool:
        """Say whether both were asked for alike, however far each came."""
        return replace(self, phase="", made_folders=()) == replace(other, phase="", made_folders=())


def save(layout: Layout, state: State) -> None:
    """Write the state in one step, so that a stopped `up` leaves either the old one or the new one."""
    scratch = layout.state.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(state), indent=2) + "\n")
    scratch.rename(layout.state)


def load(layout: Layout) -> State | None:
    """Return the state, or nothing when no cluster was started here."""
    try:
        values = json.loads(layout.state.read_text())
    except FileNotFoundError:
        return None
    for name in ("extra_gates", "extra_paths", "made_folders"):
        values[name] = tuple(values[name])
    return State(**values)
