"""What happens to the node at the kill and until it is well again, as a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to fail."""

    name: str
    meaning: str
    kills: bool = True
    """At the point; otherwise the process goes on and is killed when its call has ended."""

    reboots: bool = False
    """The hardware loses its partitions, tmpfs its files, and there is a new boot id."""

    loses_unsynced: bool = False
    disk_full: bool = False
    """From the point on, over the restart, until recovery was judged."""

    api_gone: bool = False
    """From the kill on, over the restart, until recovery was judged."""

    @property
    def degraded(self) -> bool:
        """Whether something is still missing when the driver starts again."""
        return self.disk_full or self.api_gone


MODES = {
    mode.name: mode
    for mode in (
        Mode(name="restart", meaning="killed, started again"),
        Mode(name="reboot", meaning="killed; partitions and tmpfs are lost", reboots=True),
        Mode(
            name="lost-writes",
            meaning="power loss: what was not fsynced is old, new or torn; and a reboot",
            reboots=True,
            loses_unsynced=True,
        ),
        Mode(name="disk-full", meaning="killed; no space for the journal until recovery is judged", disk_full=True),
        Mode(
            name="disk-fills",
            meaning="the disk is full from the point on; killed when the call has ended",
            kills=False,
            disk_full=True,
        ),
        Mode(name="api-gone", meaning="killed; no API server until recovery is judged", api_gone=True),
    )
}
"""By name, in the order of the table's columns."""
