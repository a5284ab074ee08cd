"""The processes that a cluster starts of this program itself."""

from __future__ import annotations

import argparse

from hack.realcluster import kernel_settings, namespace
from hack.realcluster.layout import Layout
from hack.realcluster.node_paths import node_paths
from hack.realcluster.readiness import READY_MARK
from hack.realcluster.supervisor import Supervisor


def run_supervise(_: Layout, arguments: argparse.Namespace) -> int:
    """Be process 1 of the cluster."""
    Supervisor(Layout(arguments.root)).run()
    return 0


def run_hold(_: Layout, arguments: argparse.Namespace) -> int:
    """Be the process that keeps a node's mounts."""
    paths = node_paths(arguments.folder, tuple(arguments.paths)) + kernel_settings.copies(arguments.folder)
    namespace.hold(paths, arguments.folder / READY_MARK)
    return 0
