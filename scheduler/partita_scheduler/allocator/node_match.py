"""Node selectors of slices, devices and allocations against a node, as kube-scheduler matches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from partita_scheduler.cluster.view import Node


def node_matches(
    node: Node, *, node_name: str | None, all_nodes: bool | None, node_selector: Mapping[str, Any] | None
) -> bool:
    """Whether devices with this node selection can be reached from the node."""
    if node_name:
        return node.metadata.name == node_name
    if all_nodes:
        return True
    return node_selector is not None and selector_matches(node_selector, node)


def selector_matches(selector: Mapping[str, Any], node: Node) -> bool:
    """Terms are alternatives, requirements of one term all hold; an empty term matches nothing."""
    return any(_term(term, node) for term in selector.get("nodeSelectorTerms") or [])


def _term(term: Mapping[str, Any], node: Node) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(one, node.metadata.labels.get(one.get("key", ""))) for one in expressions) and all(
        one.get("key") == "metadata.name" and _holds(one, node.metadata.name) for one in fields
    )


def _holds(requirement: Mapping[str, Any], value: str | None) -> bool:
    operator = _OPERATORS.get(requirement.get("operator", ""))
    return bool(operator and operator(value, list(requirement.get("values") or [])))


def _compares(value: str | None, values: list[str], sign: int) -> bool:
    try:
        return value is not None and len(values) == 1 and (int(value) - int(values[0])) * sign > 0
    except ValueError:
        return False


_OPERATORS: Mapping[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _compares(value, values, 1),
    "Lt": lambda value, values: _compares(value, values, -1),
}
