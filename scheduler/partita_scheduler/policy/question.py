"""What a pod asks of every node."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from partita_plugins.errors import InvalidInput
from partita_scheduler.allocator.rules import Rules, rules_for
from partita_scheduler.cluster.cpu import cpu_in_steps, cpu_milli
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.policy.claims import Wants, claim_problem, wants
from partita_scheduler.policy.extended import extended_shape, read_everything
from partita_scheduler.policy.wishes import Wishes, wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a pod asks of every node."""

    pod: Pod
    needs: Wants
    wishes: Wishes
    rules: Rules
    cpu_milli: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the claims to allocate, in the order of the pod's spec."""
        return tuple(plan.name for plan in self.needs.plans)

    @property
    def shape(self) -> Hashable | None:
        """Equal for questions with equal answers on every node, claim names aside, while classes stay the same.

        None: it depends on more than the node's content and use, so that an answer is good for this pod alone.
        """
        needs = self.needs
        if needs.problem or needs.allocated or any(plan.reads_everything for plan in needs.plans):
            return None
        if needs.extended and read_everything(needs.extended.values()):
            return None
        return needs.plans, extended_shape(self.pod, needs.extended or {}), self.wishes, self.rules, self.cpu_milli


def question(view: ClusterView, pod: Pod) -> Question:
    """What the pod asks; what is wrong with its claims stands in `needs.problem`."""
    try:
        needs = wants(view, pod)
    except InvalidInput as error:
        needs = Wants(problem=claim_problem(str(error)))
    annotations = [pod.metadata.annotations, *(claim.metadata.annotations for claim in needs.claims)]
    asked = wishes({key: value for one in annotations for key, value in one.items()})
    # Where nobody counts CPU, pods that differ by it alone are alike; elsewhere, by little.
    cpu = cpu_in_steps(cpu_milli(pod)) if view.cpu_left_milli else 0
    return Question(pod=pod, needs=needs, wishes=asked, rules=rules_for(view.server_minor), cpu_milli=cpu)
