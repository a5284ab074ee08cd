"""What several subcommands share."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.realcluster import namespace, prerequisites, state
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.state import State


def running(layout: Layout) -> State:
    """Return the state of the cluster that runs, or say that none does."""
    known = state.load(layout)
    if known is None or namespace.find(layout) is None:
        msg = "No cluster runs: hack/cluster up starts one."
        raise ClusterError(msg)
    return known


def require(*, need_go: bool) -> None:
    """Refuse to go on while something is missing on this machine."""
    lacking = prerequisites.missing(need_go=need_go)
    if lacking:
        raise ClusterError(prerequisites.explain(lacking))


def read(path: Path) -> str:
    """Return the text of a scheduler configuration."""
    try:
        return path.read_text()
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): name a file with a KubeSchedulerConfiguration."
        raise ClusterError(msg) from error


def say(text: str) -> None:
    """Tell the person at the keyboard; standard output is for what programs read."""
    print(text, file=sys.stderr)
