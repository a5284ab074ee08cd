"""The HTTP side of the extender: routes, bodies in, answers out. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from partita_plugins.errors import InvalidInput, PartitaError, Retryable
from partita_plugins.wire.resource import ResourceClaim
from partita_scheduler.answers.decider import Decider
from partita_scheduler.answers.rehearsal import Placement, with_own_claims
from partita_scheduler.answers.report import PodReport, describe, judge
from partita_scheduler.assumed.assumptions import Assumptions
from partita_scheduler.cluster.view import ClusterView, Pod, PodClaimStatus, ViewSource
from partita_scheduler.metrics import Metrics
from partita_scheduler.protocol.bodies import MAX_BODY_BYTES
from partita_scheduler.protocol.preemption import parse_preemption
from partita_scheduler.protocol.questions import NameLists, parse_args
from partita_scheduler.protocol.replies import render_filter
from partita_scheduler.protocol.simulation import SimulationArgs, parse_simulation

log = structlog.get_logger(__name__)

MAX_PATH_PART = 253


class Placements(msgspec.Struct, frozen=True):
    """The answer about several pods."""

    placements: list[Placement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the routes speak to."""

    decider: Decider
    source: ViewSource
    assumptions: Assumptions
    metrics: Metrics
    draining: Callable[[], bool] = lambda: False
    """True once the process was told to end: not ready, and still answering."""


def create_app(parts: Parts, *, max_body_bytes: int = MAX_BODY_BYTES) -> Flask:
    """The extender's routes, with health and metrics."""
    app = create_health_app(parts)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    decider, lists = parts.decider, NameLists()

    def filter_() -> Response:
        args = parse_args(_body(), lists)
        response = _raw(render_filter(args, decider.filter(args)))
        # After the answer is sent, while kube-scheduler runs its own plugins.
        response.call_on_close(lambda: decider.expect(args.node_names))
        return response

    def prioritize() -> Response:
        return _json(decider.prioritize(parse_args(_body(), lists)))

    def preempt() -> Response:
        return _json(parse_preemption(_body()))

    def simulate() -> Response:
        return _json(_simulate(parts, parse_simulation(_body())))

    def predictions() -> Response:
        return _json(parts.assumptions.predictions())

    def explain(namespace: str, pod: str) -> Response:
        found = _explain(parts, namespace[:MAX_PATH_PART], pod[:MAX_PATH_PART])
        if found is None:
            return _error(404, "no pending pod of that name, and no recent decision about one")
        return _json(found)

    app.after_request(lambda response: _let_go(parts, response))
    for verb, view in {"filter": filter_, "prioritize": prioritize, "preempt": preempt, "simulate": simulate}.items():
        app.add_url_rule(f"/{verb}", verb, view, methods=["POST"])
    app.add_url_rule("/predictions", "predictions", predictions)
    app.add_url_rule("/explain/<namespace>/<pod>", "explain", explain)
    return app


def create_health_app(parts: Parts) -> Flask:
    """Health, readiness and metrics alone: what may be served without client certificates."""
    app = Flask("partita_scheduler", static_folder=None)

    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    def readyz() -> Response:
        doubt = "draining" if parts.draining() else parts.decider.doubt()
        return Response(f"{doubt or 'ok'}\n", status=503 if doubt else 200, mimetype="text/plain")

    def metrics() -> Response:
        return Response(parts.metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")

    for name, view in {"healthz": healthz, "readyz": readyz, "metrics": metrics}.items():
        app.add_url_rule(f"/{name}", name, view)
    app.register_error_handler(HTTPException, lambda error: _error(error.code or 500, error.description or error.name))
    app.register_error_handler(InvalidInput, lambda error: _bad_request(parts.metrics, error))
    app.register_error_handler(Retryable, _busy)
    return app


def _let_go(parts: Parts, response: Response) -> Response:
    # kube-scheduler keeps its connection, also to a replica that no longer leads: it is to find the other one.
    if parts.draining() or parts.decider.doubt() == "standby":
        response.headers["Connection"] = "close"
    return response


def _simulate(parts: Parts, args: SimulationArgs) -> PodReport | Placements:
    view = parts.source.view()
    if not args.alone:
        pods, claims = with_own_claims(args.pods, args.claims)
        return Placements(parts.decider.rehearse(with_more(view, claims), pods, args.node_names))
    pod = with_claims(args.pods[0], args.claims)
    added = {(claim.metadata.namespace or pod.metadata.namespace, claim.metadata.name): claim for claim in args.claims}
    return judge(with_more(view, added), pod, parts.decider.decide_again, args.node_names)


def with_more(view: ClusterView, claims: Mapping[tuple[str, str], ResourceClaim]) -> ClusterView:
    """The view as if these claims were there too."""
    return replace(view, claims={**view.claims, **claims}) if claims else view


def with_claims(pod: Pod, claims: tuple[Any, ...]) -> Pod:
    """A pod whose template claims are taken to be made: each by the claim that bears the template's name."""
    names = {claim.metadata.name for claim in claims}
    known = {status.name for status in pod.status.resource_claim_statuses}
    made = [
        PodClaimStatus(name=entry.name, resource_claim_name=entry.resource_claim_template_name)
        for entry in pod.spec.resource_claims
        if entry.name not in known and entry.resource_claim_template_name in names
    ]
    statuses = [*pod.status.resource_claim_statuses, *made]
    return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, resource_claim_statuses=statuses))


def _explain(parts: Parts, namespace: str, name: str) -> PodReport | None:
    pod = parts.source.unbound_pod(namespace, name)
    if pod is not None:
        return judge(parts.source.view(), pod, parts.decider.decide_again)
    last = parts.decider.last_decision(f"{namespace}/{name}")
    return None if last is None else describe(f"{namespace}/{name}", last)


def _body() -> bytes:
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:
        # A broken or overlong chunk surfaces as whatever the server's reader raises.
        raise InvalidInput("the request's body could not be read to its end") from error


def _json(value: Any) -> Response:
    return _raw(msgspec.json.encode(value))


def _raw(body: bytes) -> Response:
    return Response(body, mimetype="application/json")


def _error(status: int, message: str) -> Response:
    return Response(msgspec.json.encode({"Error": message}), status=status, mimetype="application/json")


def _bad_request(metrics: Metrics, error: PartitaError) -> Response:
    metrics.request_seconds.labels((request.endpoint or "none")[:20], "bad_request").observe(0)
    log.warning("bad request", path=request.path[:100], error=str(error)[:500])
    return _error(400, str(error))


def _busy(error: Retryable) -> Response:
    answer = _error(429, str(error))
    answer.headers["Retry-After"] = str(max(1, round(error.delay_seconds)))
    return answer
