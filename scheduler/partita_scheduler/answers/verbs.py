"""kube-scheduler's questions, from body to answer: the same whichever way they come, through Flask or past it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from partita_plugins.errors import InvalidInput
from partita_scheduler.answers.decider import LAST, Decider
from partita_scheduler.http.answer import Answer, Quick
from partita_scheduler.metrics import Metrics
from partita_scheduler.protocol.plain import names_for_others
from partita_scheduler.protocol.questions import ExtenderArgs, NameLists, parse_args
from partita_scheduler.protocol.replies import render_all, render_choice, render_filter

log = structlog.get_logger(__name__)

VERBS = ("filter", "choose", "prioritize")


class Verbs:
    """filter and prioritize, or choose instead of both. They never raise: what is wrong with a body is answered with
    400."""

    def __init__(self, decider: Decider, metrics: Metrics, draining: Callable[[], bool]) -> None:
        self._decider, self._metrics, self._draining = decider, metrics, draining
        self._lists = NameLists()
        self._seconds = {verb: metrics.request_seconds.labels(verb, "not_concerned") for verb in VERBS}

    @property
    def quick(self) -> Quick:
        """By path, as the server takes them."""
        return {"/filter": self.filter, "/choose": self.choose, "/prioritize": self.prioritize}

    def filter(self, raw: bytes) -> Answer:
        """Which nodes stay. Afterwards, while kube-scheduler runs its own plugins, what prioritize needs is made."""

        def ask(args: ExtenderArgs) -> Answer:
            answer = render_filter(args, self._decider.filter(args))
            return Answer(body=answer, close=self.letting_go, afterwards=partial(self._decider.expect, args))

        return self._names("filter", raw, ask)

    def choose(self, raw: bytes) -> Answer:
        """Which node stays, as the only one: of a filter kube-scheduler takes what it leaves, and asks no more."""

        def ask(args: ExtenderArgs) -> Answer:
            return Answer(body=render_choice(args, self._decider.choose(args)), close=self.letting_go)

        return self._names("choose", raw, ask)

    def prioritize(self, raw: bytes) -> Answer:
        """Which node is preferred; an empty list where all are equal to us."""

        def ask(args: ExtenderArgs) -> Answer:
            return Answer(body=msgspec.json.encode(self._decider.prioritize(args)), close=self.letting_go)

        if self._names_for_others("prioritize", raw) is not None:
            return Answer(body=b"[]", close=self.letting_go)
        return self._guarded("prioritize", raw, ask)

    @property
    def letting_go(self) -> bool:
        """kube-scheduler keeps its connection, also to a replica that no longer leads: it is to find the other one."""
        return self._draining() or self._decider.stands_by

    def _names(self, verb: str, raw: bytes, ask: Callable[[ExtenderArgs], Answer]) -> Answer:
        names = self._names_for_others(verb, raw)
        if names is not None:
            return Answer(body=render_all(names), close=self.letting_go)
        return self._guarded(verb, raw, ask)

    def _names_for_others(self, verb: str, raw: bytes) -> bytes | None:
        started = time.perf_counter()
        names = names_for_others(raw, self._decider.marks)
        if names is not None:
            self._decider.answered(last=verb in LAST)
            self._seconds[verb].observe(time.perf_counter() - started)
        return names

    def _guarded(self, verb: str, raw: bytes, ask: Callable[[ExtenderArgs], Answer]) -> Answer:
        try:
            return ask(parse_args(raw, self._lists))
        except InvalidInput as error:
            return Answer(body=bad_request(self._metrics, verb, error), status=HTTPStatus.BAD_REQUEST)
        except Exception:
            log.exception("not answered", verb=verb)
            body = error_body("this is a defect of the extender; its log says more")
            return Answer(body=body, status=HTTPStatus.INTERNAL_SERVER_ERROR)


def error_body(message: str) -> bytes:
    """As Go names it."""
    return msgspec.json.encode({"Error": message})


def bad_request(metrics: Metrics, verb: str, error: InvalidInput, **more: Any) -> bytes:
    """Count and log a body that is wrong; what its sender is told."""
    metrics.request_seconds.labels(verb, "bad_request").observe(0)
    log.warning("bad request", verb=verb, error=str(error)[:500], **more)
    return error_body(str(error))
