"""The Node's condition that says whether GPUs are withheld because somebody else uses them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from partita_driver.doctor.others import Other
from partita_plugins.kube.api import STRATEGIC_PATCH, KubeApi
from partita_plugins.kube.resources import NODES
from partita_plugins.wire.objects import Condition, Struct

CONDITION = "PartitaGPUsWithheld"
MESSAGE_MAX = 1024


class _Status(Struct, frozen=True, kw_only=True):
    conditions: list[Condition] = msgspec.field(default_factory=list)


class _Node(Struct, frozen=True, kw_only=True):
    status: _Status = _Status()


def write_condition(api: KubeApi, node_name: str, found: Sequence[Other]) -> None:
    """Let the Node say who is there. Raises PartitaError; a Node that says so already is left alone."""
    conditions = api.get(NODES, node_name, as_=_Node).status.conditions
    known = next((one for one in conditions if one.type == CONDITION), None)
    wanted = condition_of(found, known, datetime.now(UTC))
    if wanted != known:
        _patch(api, node_name, msgspec.to_builtins(wanted))


def remove_condition(api: KubeApi, node_name: str) -> bool:
    """Take the condition off the Node; False where there is none. Raises PartitaError."""
    conditions = api.get(NODES, node_name, as_=_Node).status.conditions
    if all(one.type != CONDITION for one in conditions):
        return False
    _patch(api, node_name, {"type": CONDITION, "$patch": "delete"})
    return True


def condition_of(found: Sequence[Other], known: Condition | None, now: datetime) -> Condition:
    """The condition that tells of other users; its time of transition is kept while its status is the same."""
    withheld = [other for other in found if other.withholds]
    status = "True" if withheld else "False"
    since = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    told = withheld or list(found)
    return Condition(
        type=CONDITION,
        status=status,
        reason=_camel(told[0].reason) if told else "NobodyElse",
        message="; ".join(_said(other) for other in told)[:MESSAGE_MAX],
        last_transition_time=known.last_transition_time if known and known.status == status else since,
    )


def _said(other: Other) -> str:
    return f"{other.pci_bus_id}: {other.what}" if other.pci_bus_id else other.what


def _camel(reason: str) -> str:
    return "".join(part.capitalize() for part in reason.split("-"))


def _patch(api: KubeApi, node_name: str, condition: Any) -> None:
    # A strategic merge: the kubelet's conditions are not ours to write, not even as they were.
    patch = {"status": {"conditions": [condition]}}
    api.patch(NODES, node_name, patch, subresource="status", content_type=STRATEGIC_PATCH)
