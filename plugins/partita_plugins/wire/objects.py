"""What objects of the API have in common, as far as Partita reads or writes it.

Unknown fields are ignored on reading, so a newer API server does no harm; omitted fields are not written.
"""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of all API values: frozen, camelCase, defaults left out."""


class OwnerReference(Struct, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Struct, frozen=True, kw_only=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []


class Taint(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Written whole: the API server wants the effect named."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"
    time_added: str | msgspec.UnsetType | None = msgspec.UNSET
    """Left to the API server where unset."""


class Toleration(Struct, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class Condition(Struct, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
