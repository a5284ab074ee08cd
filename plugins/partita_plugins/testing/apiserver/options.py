"""Query parameters and delete options as values, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partita_plugins.testing.apiserver.errors import Json, bad_request
from partita_plugins.testing.apiserver.resources import Resource
from partita_plugins.testing.apiserver.selectors import Predicate, field_selector, label_selector

Query = Mapping[str, str]

LIST_MAX = 10_000
"""Objects in one answer where the client gives no limit."""

WATCH_SECONDS_MAX = 1800.0


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not text.isdigit():
        raise bad_request(f"{name}={text} is no number")
    return int(text)


def _truth(query: Query, name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What a client wants to see, for lists and watches."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = LIST_MAX
    proceed: str = ""
    """The `continue` token of the page before."""
    resource_version: str = ""
    timeout_seconds: float = WATCH_SECONDS_MAX
    bookmarks: bool = False
    initial_events: bool = False
    """Whether the watch begins with all objects and a bookmark after them (sendInitialEvents)."""

    @classmethod
    def parse(cls, query: Query) -> ListOptions:
        version = query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise bad_request(f"invalid resource version: {version}")
        return cls(
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            limit=min(_number(query, "limit", LIST_MAX) or LIST_MAX, LIST_MAX),
            proceed=query.get("continue", ""),
            resource_version=version,
            timeout_seconds=min(float(_number(query, "timeoutSeconds", 0)) or WATCH_SECONDS_MAX, WATCH_SECONDS_MAX),
            bookmarks=_truth(query, "allowWatchBookmarks"),
            initial_events=_truth(query, "sendInitialEvents"),
        )

    def selects(self, resource: Resource) -> Predicate:
        by_label = label_selector(self.label_selector)
        by_field = field_selector(self.field_selector, resource)
        return lambda obj: by_label(obj) and by_field(obj)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """How and under which conditions to delete."""

    grace_seconds: int | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    @classmethod
    def parse(cls, query: Query, body: Json) -> DeleteOptions:
        preconditions = body.get("preconditions") or {}
        grace: object = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        if grace is not None and not str(grace).isdigit():
            raise bad_request(f"gracePeriodSeconds={grace} is no number")
        return cls(
            grace_seconds=None if grace is None else int(str(grace)),
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            dry_run=is_dry_run(query) or "All" in (body.get("dryRun") or []),
        )


def is_dry_run(query: Query) -> bool:
    return query.get("dryRun", "") == "All"
