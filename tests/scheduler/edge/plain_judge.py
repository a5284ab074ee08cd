"""The simplest judge there can be: it decides on a snapshot, node by node, where the kept state is quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from partita_plugins.wire.objects import Taint
from partita_scheduler.assumed.assumptions import Assumptions
from partita_scheduler.cluster.view import ClusterView, Pod, ViewSource
from partita_scheduler.found import Decided, Policy
from partita_scheduler.policy.extended import marks


class PlainJudge:
    """Decides on a snapshot, node by node; once for filter and prioritize of one cycle."""

    def __init__(self, source: ViewSource, assumptions: Assumptions, policy: Policy) -> None:
        self._source, self._assumptions, self._policy = source, assumptions, policy
        self._last: tuple[Pod, ClusterView, Decided] | None = None

    @property
    def avoided(self) -> dict[str, list[Taint]]:
        taints = {name: node.spec.taints for name, node in self._source.view().nodes.items()}
        soft = {name: [one for one in found if one.effect == "PreferNoSchedule"] for name, found in taints.items()}
        return {name: found for name, found in soft.items() if found}

    behind = False
    marks = marks(())

    def asked(self, pod: Pod) -> None:
        """It decides on what is seen now."""

    def answered(self, *, last: bool) -> None:
        """The same."""

    def may_concern(self, pod: Pod) -> bool:
        return self.concerns_us(pod)

    def may_refuse(self, pod: Pod) -> bool | None:
        return self.concerns_us(pod) or None

    def expect(self, pod: Pod, node_names: Sequence[str]) -> None:
        """Nothing to be made."""

    def concerns_us(self, pod: Pod) -> bool:
        return self._policy.concerns_us(self._source.view(), pod)

    def find(self, pod: Pod, node_names: Sequence[str]) -> Decided | None:
        # Assumptions before the view: one that is dropped in between has its allocation in the view already.
        assumed = self._assumptions.active(excluding=pod.metadata.uid)
        base = self._source.view()
        if not self._policy.concerns_us(base, pod):
            return None
        if self._last is not None:
            asked, seen, decided = self._last
            same = asked == pod and seen is base and decided.view.assumed == assumed
            if same and all(name in decided.made.verdicts for name in node_names):
                return decided
        view = replace(base, assumed=assumed)
        decided = Decided(self._policy.decide(view, pod, node_names), view, self._policy)
        self._last = (pod, base, decided)
        return decided
