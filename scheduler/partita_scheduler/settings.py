"""Everything that may be set on the extender's command line, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from partita_scheduler.cluster.watch import STALE_SECONDS
from partita_scheduler.http.address import Address
from partita_scheduler.http.server import THREADS
from partita_scheduler.http.tls import Tls
from partita_scheduler.protocol.bodies import MAX_BODY_BYTES
from partita_scheduler.scoring.ranking import DEFAULT_SCORING, Scoring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's settings, checked."""

    listen: Address
    health_listen: Address | None = None
    """Plain HTTP for /healthz, /readyz and /metrics alone: probes have no client certificate."""

    why_listen: Address | None = None
    """On loopback: plain HTTP for /explain, which `kubectl partita why` reaches through a port-forward."""

    tls: Tls | None = None
    leader_election: bool = True
    namespace: str = "partita-system"
    """Of the Lease."""

    identity: str = "partita-scheduler"
    """Of this replica, in the Lease and in events."""

    handover_seconds: float = 2.0
    """The most that an end waits for another replica to take the lease. Those that stand by look each second."""

    stale_seconds: float = STALE_SECONDS
    threads: int = THREADS
    max_body_bytes: int = MAX_BODY_BYTES
    scoring: Scoring = DEFAULT_SCORING
    count_cpu: bool = True
    """Watch the pods that have a node, for the CPU that they have requested."""

    explain: bool = True
    events_per_minute: int = 30
