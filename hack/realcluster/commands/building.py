"""What comes before a cluster: build, prerequisites."""

from __future__ import annotations

import argparse

from hack.realcluster import binaries, modules, prerequisites
from hack.realcluster.commands.common import require
from hack.realcluster.layout import Layout


def run_build(_: Layout, arguments: argparse.Namespace) -> int:
    """Build programs into the cache and print the folders they are in."""
    chosen = [modules.by_name(name) for name in arguments.modules] or modules.for_cluster(arguments.version)
    require(need_go=not all(map(binaries.is_built, chosen)))
    for module in chosen:
        print(binaries.build(module))
    return 0


def run_prerequisites(_: Layout, arguments: argparse.Namespace) -> int:
    """Say what is missing; install it if asked to."""
    needs_go = not all(map(binaries.is_built, modules.for_cluster(arguments.version)))
    lacking = prerequisites.missing(need_go=needs_go, need_image=arguments.image)
    if lacking and arguments.install:
        prerequisites.install(lacking)
        lacking = prerequisites.missing(need_go=needs_go, need_image=arguments.image)
    print(prerequisites.explain(lacking) if lacking else "Nothing is missing.")
    return 1 if lacking else 0
