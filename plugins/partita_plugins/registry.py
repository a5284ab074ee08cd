"""Names to implementations, by entry point: a plugin is a distribution that declares one."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from partita_plugins.errors import InvalidInput

GROUPS = ("partita.backends", "partita.sharing", "partita.validators", "partita.scorers")


def load(group: str, name: str) -> Any:
    """The object behind a name. Raises InvalidInput that lists the names there are."""
    found = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        raise InvalidInput(
            f"there is no {group} named {name!r}",
            advice=f"choose one of: {', '.join(sorted(found)) or 'none installed'}",
        )
    return found[name].load()


def names(group: str) -> list[str]:
    """All names of a group, sorted."""
    return sorted(entry.name for entry in entry_points(group=group))
