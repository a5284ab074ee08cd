"""What the extender tells Prometheus about itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_ALLOCATION_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """One process's counters, in a registry of their own so that tests do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "partita_scheduler_request_seconds",
            "Time to answer a request, by verb and by what came out",
            ["verb", "outcome"],
            registry=self.registry,
            buckets=_LATENCY_BUCKETS,
        )
        self.no_opinion = Counter(
            "partita_scheduler_no_opinion",
            "Answers that kept all nodes and preferred none, by reason: stale, not_synced, standby, error, overload",
            ["reason"],
            registry=self.registry,
        )
        self.prediction = Counter(
            "partita_scheduler_prediction",
            "Allocations that appeared, against the devices predicted for that node: match, mismatch, unpredicted",
            ["result"],
            registry=self.registry,
        )
        self.choice = Counter(
            "partita_scheduler_choice",
            "Allocations that appeared on the node that we put first, or on another one",
            ["node"],
            registry=self.registry,
        )
        self.allocation_seconds = Histogram(
            "partita_scheduler_allocation_seconds",
            "Time from our answer until the API told the allocation, by what came of the prediction",
            ["result"],
            registry=self.registry,
            buckets=_ALLOCATION_BUCKETS,
        )
        self.explainer_events = Counter(
            "partita_scheduler_explainer_events",
            "Events on pods that fit nowhere: written, failed, limited",
            ["result"],
            registry=self.registry,
        )

    def watch(
        self,
        *,
        view_age_seconds: Callable[[], float],
        assumed_allocations: Callable[[], float],
        leader: Callable[[], float],
    ) -> None:
        """Read these when somebody asks for the metrics."""
        gauges = (
            ("view_age_seconds", "Seconds since the oldest watch last heard from the API server", view_age_seconds),
            ("assumed_allocations", "Allocations predicted and not yet seen in the API", assumed_allocations),
            ("leader", "1 where this replica answers", leader),
        )
        for name, help_text, read in gauges:
            Gauge(f"partita_scheduler_{name}", help_text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
