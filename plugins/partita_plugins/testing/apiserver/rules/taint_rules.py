"""DeviceTaintRule: the taint's time, and what a rule may name."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.rules.devices import check_taint
from partita_plugins.testing.apiserver.rules.names import Problems, is_dns_label, is_dns_subdomain, is_pool_name


def default_rule(obj: Json, now: str) -> None:
    """The server stamps a taint that carries no time."""
    taint = (obj.get("spec") or {}).get("taint")
    if taint:
        taint.setdefault("timeAdded", now)


def check_rule(obj: Json, _before: Json | None, problems: Problems) -> None:
    spec = obj.get("spec") or {}
    selector = spec.get("deviceSelector") or {}
    for part, is_right in (("driver", is_dns_subdomain), ("pool", is_pool_name), ("device", is_dns_label)):
        if part in selector:
            problems.require(is_right(selector[part]), f"spec.deviceSelector.{part}", f"{selector[part]!r} is no name")
    check_taint(spec.get("taint") or {}, "spec.taint", problems)
