"""One component at a time: logs, restart, stop, start, scheduler-config."""

from __future__ import annotations

import argparse
import os
import sys

from hack.realcluster.commands.common import read, running
from hack.realcluster.control import Control
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.lock import changing
from hack.realcluster.readiness import Readiness
from hack.realcluster.scheduler_config import merge
from hack.realcluster.state import State

_SCHEDULER = "kube-scheduler"


def run_logs(layout: Layout, arguments: argparse.Namespace) -> int:
    """Print a component's log, or the components that have one."""
    if not arguments.component:
        print("\n".join(sorted(path.stem for path in layout.logs.glob("*.log"))) or "No cluster has run here.")
        return 0
    log = layout.log(arguments.component)
    if not log.exists():
        msg = f"{arguments.component} has no log: hack/cluster logs lists the components that have one."
        raise ClusterError(msg)
    follow = ["-F"] if arguments.follow else []
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", arguments.lines, *follow, "--", str(log)])  # noqa: S606 - this becomes it
    return 0


def run_restart(layout: Layout, arguments: argparse.Namespace) -> int:
    """Stop a component if it runs and start it again."""
    running(layout)
    Control(layout).stop(arguments.component)
    return run_start(layout, arguments)


def run_stop(layout: Layout, arguments: argparse.Namespace) -> int:
    """Stop a component."""
    running(layout)
    Control(layout).stop(arguments.component)
    return 0


def run_start(layout: Layout, arguments: argparse.Namespace) -> int:
    """Start a component that was stopped."""
    known = running(layout)
    Control(layout).start_again(arguments.component)
    if arguments.component == _SCHEDULER:
        Readiness(layout, known).scheduler()
    if arguments.component == "kube-apiserver":
        Readiness(layout, known).api_server()
    return 0


def run_scheduler_config(layout: Layout, arguments: argparse.Namespace) -> int:
    """Give kube-scheduler another configuration; put the old one back when it cannot run with it."""
    known = running(layout)
    new = merge("" if arguments.default else read(arguments.file), str(layout.kubeconfigs / _SCHEDULER))
    before = layout.scheduler_config.read_text()
    control = Control(layout)
    with changing(layout):
        try:
            _restart_scheduler(layout, known, new)
        except ClusterError as error:
            control.stop(_SCHEDULER)
            _restart_scheduler(layout, known, before)
            msg = f"{error}\nkube-scheduler runs with the configuration it had before."
            raise ClusterError(msg) from error
    return 0


def _restart_scheduler(layout: Layout, known: State, text: str) -> None:
    layout.scheduler_config.write_text(text)
    control = Control(layout)
    control.stop(_SCHEDULER)
    control.start_again(_SCHEDULER)
    Readiness(layout, known).scheduler()
