"""Imports images into a node's containerd, where its kubelet finds them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from realcluster import binaries, modules, namespace
from realcluster.control import Control
from realcluster.errors import ClusterError
from realcluster.layout import Layout
from realcluster.node import CONTAINERD_SOCKET


def load_image(layout: Layout, node: str, archive: Path) -> str:
    """Import an OCI or Docker archive into a node and return what ctr says about it."""
    init = namespace.find(layout)
    if init is None:
        msg = "No cluster runs: hack/cluster up starts one."
        raise ClusterError(msg)
    inside = namespace.enter(init, Control(layout).pid(f"namespace-{node}"))
    ctr = str(binaries.folder(modules.containerd()) / "ctr")
    nsenter = shutil.which(inside[0]) or inside[0]
    # The archive comes by standard input: its path may lie under one the node has for itself.
    arguments = ("-n", "k8s.io", "-a", CONTAINERD_SOCKET, "images", "import", "--local", "-")
    try:
        with archive.open("rb") as source:
            done = subprocess.run(
                [nsenter, *inside[1:], ctr, *arguments],
                stdin=source,
                capture_output=True,
                text=True,
                check=False,
                env=os.environ,
            )
    except FileNotFoundError as error:
        msg = f"There is no archive {archive}: name a file that holds an OCI archive."
        raise ClusterError(msg) from error
    if done.returncode:
        msg = f"{node} did not take {archive.name}: {done.stderr.strip()}\nIs it an OCI archive in one tar file?"
        raise ClusterError(msg)
    return done.stdout.strip()
