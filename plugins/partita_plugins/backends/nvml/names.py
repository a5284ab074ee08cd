"""UUIDs of GPUs that do not answer: what the kernel module says, and what was seen earlier in this boot."""

from __future__ import annotations

from partita_plugins.backends.nvml.host import Host
from partita_plugins.backends.nvml.memory import Memory


class Names:
    """Fills the gaps in a list of UUIDs in NVML's order, which stays for a boot."""

    def __init__(self, host: Host, memory: Memory) -> None:
        self._host, self._memory = host, memory

    def completed(self, found: tuple[str, ...]) -> tuple[str, ...]:
        """The same without gaps, where anybody knows the GPU; an empty name where nobody does."""
        if all(found):
            self._memory.saw(found)
            return found
        for known in (self._memory.uuids, self._host.gpu_uuids()):
            if _fits(found, known):
                found = tuple(one or other for one, other in zip(found, known, strict=True))
        return found


def _fits(found: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether two lists are of the same GPUs in the same order."""
    return len(found) == len(known) and all(one in ("", other) for one, other in zip(found, known, strict=True))
