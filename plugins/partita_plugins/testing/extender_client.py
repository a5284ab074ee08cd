"""Calls a scheduler extender as kube-scheduler does: Go's field names, node names only, its rules for errors."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from partita_plugins.testing.kubeapi import Json

SCORE_FACTOR = 10
"""An extender's 0 to 10 counts as the 0 to 100 of a scheduler plugin."""

ANSWER_BYTES_MAX = 64 * 1024 * 1024


class ExtenderError(Exception):
    """An extender did not answer, or not as the contract says; the pod's attempt fails unless it is ignorable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtenderTls:
    """Files for HTTPS with a client certificate."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtenderConfig:
    """One entry of `extenders` in a KubeSchedulerConfiguration."""

    url_prefix: str
    filter_verb: str = "filter"
    prioritize_verb: str = "prioritize"
    weight: int = 1
    http_timeout_seconds: float = 5.0
    ignorable: bool = False
    managed_resources: frozenset[str] = frozenset()
    """Only pods whose containers request one of these are sent; empty for all pods."""
    tls: ExtenderTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResult:
    """What is left of the nodes."""

    nodes: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    """Reason by node that may fit later."""
    never: Mapping[str, str] = field(default_factory=dict)
    """Reason by node that no preemption can help."""
    ignored: str = ""
    """The error of an ignorable extender, which then had no say."""


class ExtenderClient:
    """One extender. Calls may come from several threads; each has its own connection."""

    def __init__(self, config: ExtenderConfig) -> None:
        self.config = config
        self._url = urlsplit(config.url_prefix)
        self._context = config.tls.context() if config.tls else None

    def is_interested(self, pod: Json) -> bool:
        """Whether kube-scheduler would send it this pod: it looks at resources only, never at claims."""
        wanted = self.config.managed_resources
        return not wanted or not wanted.isdisjoint(_resources(pod))

    def filter(self, pod: Json, nodes: Sequence[str]) -> FilterResult:
        """The nodes that it keeps. ExtenderError, or everything kept where its errors are to be ignored."""
        if not self.config.filter_verb or not self.is_interested(pod):
            return FilterResult(nodes=tuple(nodes))
        try:
            return _filter_result(self._post(self.config.filter_verb, pod, nodes), nodes)
        except ExtenderError as error:
            if self.config.ignorable:
                return FilterResult(nodes=tuple(nodes), ignored=str(error))
            raise

    def prioritize(self, pod: Json, nodes: Sequence[str]) -> dict[str, int]:
        """Weighted scores by node. An error gives none: kube-scheduler goes on without."""
        if not self.config.prioritize_verb or not self.is_interested(pod):
            return {}
        try:
            return self.scores(pod, nodes)
        except ExtenderError:
            return {}

    def scores(self, pod: Json, nodes: Sequence[str]) -> dict[str, int]:
        """As `prioritize`, but an error is raised, for those who want to know."""
        answer = self._post(self.config.prioritize_verb, pod, nodes)
        if not isinstance(answer, list):
            raise ExtenderError(
                f"prioritize answered {type(answer).__name__}; a bare array of Host and Score is expected"
            )
        scores: dict[str, int] = {}
        for entry in answer:
            host, score = _key(entry, "Host"), _key(entry, "Score")
            if not isinstance(score, int) or isinstance(score, bool):
                raise ExtenderError(f"the score of {host} is {score!r}; kube-scheduler decodes whole numbers only")
            scores[str(host)] = score * self.config.weight * SCORE_FACTOR
        return scores

    def _post(self, verb: str, pod: Json, nodes: Sequence[str]) -> Any:
        body = msgspec.json.encode({"Pod": pod, "Nodes": None, "NodeNames": list(nodes)})
        where = f"{self.config.url_prefix.rstrip('/')}/{verb}"
        connection = self._connection()
        try:
            connection.request("POST", urlsplit(where).path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise ExtenderError(f"failed {verb} with extender at URL {where}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ExtenderError(f"failed {verb} with extender at URL {where}, code {answer.status}: {content[:200]!r}")
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise ExtenderError(f"{verb} at URL {where} answered no JSON: {error}") from error

    def _connection(self) -> http.client.HTTPConnection:
        host, timeout = self._url.hostname or "", self.config.http_timeout_seconds
        if self._url.scheme == "https":
            return http.client.HTTPSConnection(host, self._url.port, timeout=timeout, context=self._context)
        return http.client.HTTPConnection(host, self._url.port, timeout=timeout)


def run_filters(extenders: Iterable[ExtenderClient], pod: Json, nodes: Sequence[str]) -> FilterResult:
    """All extenders one after another, ignorable ones last; the first that leaves no node ends it."""
    kept, failed, never = tuple(nodes), dict[str, str](), dict[str, str]()
    for extender in sorted(extenders, key=lambda client: client.config.ignorable):
        if not kept:
            break
        result = extender.filter(pod, kept)
        kept = result.nodes
        failed |= result.failed
        never |= result.never
    return FilterResult(nodes=kept, failed=failed, never=never)


def run_prioritize(extenders: Iterable[ExtenderClient], pod: Json, nodes: Sequence[str]) -> dict[str, int]:
    """The sum of all extenders' scores by node; not asked for a single node, as kube-scheduler does not."""
    totals = dict.fromkeys(nodes, 0)
    if len(nodes) <= 1:
        return totals
    for extender in extenders:
        for node, score in extender.prioritize(pod, nodes).items():
            if node in totals:
                totals[node] += score
    return totals


def _filter_result(answer: Any, nodes: Sequence[str]) -> FilterResult:
    if not isinstance(answer, dict):
        raise ExtenderError(f"filter answered {type(answer).__name__}; an ExtenderFilterResult is expected")
    if error := _key(answer, "Error"):
        raise ExtenderError(str(error))
    kept = tuple(_key(answer, "NodeNames") or ())
    strangers = sorted(set(kept) - set(nodes))
    if strangers:
        raise ExtenderError(f"extender claims a filtered node {strangers[0]} which is not found in the input node list")
    failed, never = _key(answer, "FailedNodes") or {}, _key(answer, "FailedAndUnresolvableNodes") or {}
    return FilterResult(nodes=kept, failed=failed, never=never)


def _key(entry: Any, name: str) -> Any:
    """Go decodes keys whatever their case."""
    if not isinstance(entry, dict):
        raise ExtenderError(f"{entry!r} is no object with {name}")
    return next((value for key, value in entry.items() if key.lower() == name.lower()), None)


def _resources(pod: Json) -> set[str]:
    containers = [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
    kinds = [
        (container.get("resources") or {}).get(kind) or {}
        for container in containers
        for kind in ("requests", "limits")
    ]
    return {name for amounts in kinds for name in amounts}
