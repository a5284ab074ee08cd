"""What was found about a pod, as the extender's verbs read it; and the way to it that decides node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from msgspec import Raw

from partita_plugins.wire.objects import Taint
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.policy.decision import Decision
from partita_scheduler.policy.row import Verdict
from partita_scheduler.protocol.replies import HostPriority


class Policy(Protocol):
    """The pure decision (module policy.decision)."""

    def concerns_us(self, view: ClusterView, pod: Pod) -> bool: ...

    def decide(self, view: ClusterView, pod: Pod, node_names: Sequence[str]) -> Decision: ...

    def scores(self, decision: Decision, node_names: Sequence[str]) -> dict[str, int]: ...


class Among(Protocol):
    """What was found about the nodes that were asked about."""

    @property
    def best(self) -> str:
        """The node to assume; empty where none fits."""

    def scores(self, names: Sequence[str]) -> list[HostPriority] | Raw:
        """The answer to prioritize, for the same names."""

    def options(self, first: str, most: int) -> Decision:
        """The decision as far as the best nodes, `first` before all."""

    def brief(self, name: str) -> Verdict:
        """One node's verdict without its allocations."""

    def decision(self) -> Decision:
        """All of it, for people."""


class Found(Protocol):
    """What was found about a pod."""

    @property
    def view(self) -> ClusterView:
        """Its claims that are to be allocated are in here."""

    def refusals(self, names: Sequence[str]) -> Mapping[str, str]:
        """Those of the nodes to refuse in filter, with the reason."""

    def among(self, names: Sequence[str]) -> Among: ...


class Judge(Protocol):
    """Finds what is to be found about a pod, everybody else's assumptions counted. Thread-safe."""

    def asked(self, pod: Pod) -> None:
        """kube-scheduler has begun to ask about a pod: what is found next is of one moment."""

    def answered(self, *, last: bool) -> None:
        """kube-scheduler has an answer, about whichever pod. `last`: it asks no more about that pod."""

    def concerns_us(self, pod: Pod) -> bool: ...

    def find(self, pod: Pod, node_names: Sequence[str]) -> Found | None:
        """None: the pod is none of ours."""

    @property
    def marks(self) -> tuple[bytes, ...]:
        """Of these, a pod that may concern us has at least one in its JSON."""

    def may_concern(self, pod: Pod) -> bool:
        """False for most pods of a cluster, at once."""

    def may_refuse(self, pod: Pod) -> bool | None:
        """Whether filter has to look at the nodes; None: the pod is none of ours."""

    def expect(self, pod: Pod, node_names: Sequence[str]) -> None:
        """The next question will be about this pod and this very list of nodes."""

    @property
    def avoided(self) -> Mapping[str, Sequence[Taint]]:
        """PreferNoSchedule taints by node, of those that have any."""

    @property
    def behind(self) -> bool:
        """Whether an answer now might take too long."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was made for one question alone."""

    made: Decision
    view: ClusterView
    policy: Policy
    names: tuple[str, ...] = ()

    def refusals(self, names: Sequence[str]) -> Mapping[str, str]:
        return {name: self.made.hard_refusals[name] for name in names if name in self.made.hard_refusals}

    def among(self, names: Sequence[str]) -> Decided:
        return replace(self, names=tuple(names))

    @property
    def best(self) -> str:
        asked = set(self.names)
        return next((name for name in self.made.order if name in asked), "")

    def scores(self, names: Sequence[str]) -> list[HostPriority] | Raw:
        found = self.policy.scores(self.made, names)
        return [HostPriority(host=name, score=found.get(name, 0)) for name in names]

    def options(self, first: str, most: int) -> Decision:
        best = [name for name in dict.fromkeys([first, *self.made.order[:most]]) if name in self.made.verdicts]
        return replace(self.made, verdicts={name: self.made.verdicts[name] for name in best}, order=tuple(best))

    def brief(self, name: str) -> Verdict:
        return self.made.verdicts[name]

    def decision(self) -> Decision:
        return self.made
