"""The port to an API server as the fakes use it, so that they run on the embedded one and on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Objects at one moment."""

    items: list[Json] = field(default_factory=list)
    """The objects; they belong to the caller."""

    resource_version: int = 0
    """The moment, for `wait_for_change`."""

    def __iter__(self) -> Iterator[Json]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class KubeApi(Protocol):
    """Verbs over plain JSON objects. `kind` is a kind, a plural or `plural.group`. Refusals raise ApiError."""

    def create(self, obj: Json, *, namespace: str = "") -> Json:
        """Create an object; its own namespace counts first, then the argument, then `default`."""

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        """One object."""

    def list(self, kind: str, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> Listing:
        """All objects that are selected, of one namespace or of all."""

    def update(self, obj: Json, *, subresource: str = "") -> Json:
        """Replace an object, or its status; a conflict if it has changed since it was read."""

    def patch(self, kind: str, name: str, patch: Json, namespace: str = "", *, subresource: str = "") -> Json:
        """Merge a patch (RFC 7386) into an object, or into its status."""

    def delete(
        self, kind: str, name: str, namespace: str = "", *, grace_seconds: int | None = None, uid: str = ""
    ) -> None:
        """Delete an object, if it is the one with that uid."""

    def delete_all(self, kind: str, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> None:
        """Delete all objects that are selected."""

    def bind(self, pod: Json, node: str) -> None:
        """Give a pod its node."""

    def wait_for_change(self, kind: str, resource_version: int, timeout: float, *, field_selector: str = "") -> bool:
        """Until something of this kind may be newer than a version; False when time ran out first."""
