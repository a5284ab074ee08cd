"""The HTTP side of the extender: routes, bodies in, answers out. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from partita_plugins.errors import InvalidInput, Retryable
from partita_scheduler.answers.as_if import with_claims, with_more, with_own_claims
from partita_scheduler.answers.aside import Aside
from partita_scheduler.answers.decider import Decider
from partita_scheduler.answers.rehearsal import Placement
from partita_scheduler.answers.report import PodReport, describe, judge
from partita_scheduler.answers.verbs import Verbs, bad_request, error_body
from partita_scheduler.assumed.assumptions import Assumptions
from partita_scheduler.cluster.view import ViewSource
from partita_scheduler.http.answer import Answer
from partita_scheduler.metrics import Metrics
from partita_scheduler.protocol.bodies import MAX_BODY_BYTES
from partita_scheduler.protocol.preemption import parse_preemption
from partita_scheduler.protocol.simulation import SimulationArgs, parse_simulation

MAX_PATH_PART = 253


class Placements(msgspec.Struct, frozen=True):
    """The answer about several pods."""

    placements: list[Placement]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the routes speak to."""

    decider: Decider
    aside: Aside
    source: ViewSource
    assumptions: Assumptions
    metrics: Metrics
    draining: Callable[[], bool] = lambda: False
    """True once the process lets nobody in any more: not ready, and still answering."""

    holding: Callable[[], bool] = lambda: False
    """True for the replica that answers next, while the one before it ends: it is ready to be found."""

    @cached_property
    def verbs(self) -> Verbs:
        """kube-scheduler's questions, which the server also asks past Flask."""
        return Verbs(self.decider, self.metrics, self.draining)


def create_app(parts: Parts, *, max_body_bytes: int = MAX_BODY_BYTES) -> Flask:
    """The extender's routes, with health and metrics."""
    app = create_health_app(parts)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes

    def preempt() -> Response:
        return _json(parse_preemption(_body()))

    def simulate() -> Response:
        return _json(_simulate(parts, parse_simulation(_body())))

    def predictions() -> Response:
        return _json(parts.assumptions.predictions())

    app.after_request(lambda response: _let_go(parts, response))
    views: dict[str, Callable[[], Response]] = {"preempt": preempt, "simulate": simulate}
    views |= {path.strip("/"): partial(_asked, act) for path, act in parts.verbs.quick.items()}
    for verb, view in views.items():
        app.add_url_rule(f"/{verb}", verb, view, methods=["POST"])
    app.add_url_rule("/predictions", "predictions", predictions)
    _add_explain(app, parts)
    return app


def _asked(act: Callable[[bytes], Answer]) -> Response:
    return _response(act(_body()))


def create_why_app(parts: Parts) -> Flask:
    """/explain alone: what `kubectl partita why` asks, without a certificate, from the extender's own loopback."""
    app = _bare_app(parts)
    _add_explain(app, parts)
    return app


def _add_explain(app: Flask, parts: Parts) -> None:
    def explain(namespace: str, pod: str) -> Response:
        found = _explain(parts, namespace[:MAX_PATH_PART], pod[:MAX_PATH_PART])
        if found is None:
            return _error(404, "no pending pod of that name, and no recent decision about one")
        return _json(found)

    app.add_url_rule("/explain/<namespace>/<pod>", "explain", explain)


def create_health_app(parts: Parts) -> Flask:
    """Health, readiness and metrics alone: what may be served without client certificates."""
    app = _bare_app(parts)

    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    def readyz() -> Response:
        doubt = _not_ready(parts)
        return Response(f"{doubt or 'ok'}\n", status=503 if doubt else 200, mimetype="text/plain")

    def metrics() -> Response:
        return Response(parts.metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")

    for name, view in {"healthz": healthz, "readyz": readyz, "metrics": metrics}.items():
        app.add_url_rule(f"/{name}", name, view)
    return app


def _bare_app(parts: Parts) -> Flask:
    """No routes, but errors as Go reads them."""
    app = Flask("partita_scheduler", static_folder=None)
    app.register_error_handler(HTTPException, lambda error: _error(error.code or 500, error.description or error.name))
    app.register_error_handler(InvalidInput, lambda error: _bad_request(parts.metrics, error))
    app.register_error_handler(Retryable, _busy)
    return app


def _not_ready(parts: Parts) -> str:
    if parts.draining():
        return "draining"
    return "" if parts.decider.stands_by and parts.holding() else parts.decider.doubt()


def _let_go(parts: Parts, response: Response) -> Response:
    if parts.verbs.letting_go:
        response.headers["Connection"] = "close"
    return response


def _simulate(parts: Parts, args: SimulationArgs) -> PodReport | Placements:
    view = parts.source.view()
    if not args.alone:
        pods, claims = with_own_claims(args.pods, args.claims)
        return Placements(parts.aside.rehearse(with_more(view, claims), pods, args.node_names))
    pod, added = with_claims(args.pods[0], args.claims)
    return judge(with_more(view, added), pod, parts.aside.decide, args.node_names)


def _explain(parts: Parts, namespace: str, name: str) -> PodReport | None:
    pod = parts.source.unbound_pod(namespace, name)
    if pod is not None:
        return judge(parts.source.view(), pod, parts.aside.decide)
    last = parts.decider.recent.last_decision(f"{namespace}/{name}")
    return None if last is None else describe(f"{namespace}/{name}", last)


def _body() -> bytes:
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:
        # A broken or overlong chunk surfaces as whatever the server's reader raises.
        raise InvalidInput("the request's body could not be read to its end") from error


def _response(answer: Answer) -> Response:
    response = Response(answer.body, status=answer.status, mimetype="application/json")
    if answer.afterwards is not None:
        response.call_on_close(answer.afterwards)
    return response


def _json(value: Any) -> Response:
    return _response(Answer(body=msgspec.json.encode(value)))


def _error(status: int, message: str) -> Response:
    return Response(error_body(message), status=status, mimetype="application/json")


def _bad_request(metrics: Metrics, error: InvalidInput) -> Response:
    body = bad_request(metrics, (request.endpoint or "none")[:20], error, path=request.path[:100])
    return _response(Answer(body=body, status=HTTPStatus.BAD_REQUEST))


def _busy(error: Retryable) -> Response:
    answer = _error(429, str(error))
    answer.headers["Retry-After"] = str(max(1, round(error.delay_seconds)))
    return answer
