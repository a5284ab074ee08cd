"""Who has what in common, kept by change: a change asks for those that it concerns instead of looking at all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Groups(Generic[M]):
    """Members by what they share; a group without members is gone. Not thread-safe."""

    def __init__(self) -> None:
        self._members: dict[Hashable, dict[M, None]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: M, *groups: Hashable) -> None:
        for group in groups:
            self._members.setdefault(group, {})[member] = None

    def remove(self, member: M, *groups: Hashable) -> None:
        """No matter whether it is in them."""
        for group in groups:
            members = self._members.get(group, {})
            members.pop(member, None)
            if not members:
                self._members.pop(group, None)

    def of(self, groups: Iterable[Hashable]) -> list[M]:
        """The members of any of these groups, each once, first come first."""
        return list(dict.fromkeys(member for group in groups for member in self._members.get(group, ())))
