"""Imports images into a node's containerd, where its kubelet finds them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from hack.realcluster import binaries, modules, namespace
from hack.realcluster.control import Control
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.node import CONTAINERD_SOCKET

_IMPORTED = re.compile(r"^unpacking (\S+)", re.MULTILINE)


def load_image(layout: Layout, node: str, archive: Path) -> tuple[str, ...]:
    """Import an OCI or Docker archive into a node and return the names pods can use for what was in it."""
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
    return usable(tuple(_IMPORTED.findall(done.stdout)), archive)


def usable(names: tuple[str, ...], archive: Path) -> tuple[str, ...]:
    """Return the names unless there is none or one that no kubelet would find.

    A kubelet that is asked for an image `app:1` looks for docker.io/library/app:1.
    """
    for name in names:
        registry, slash, _ = name.partition("/")
        if not slash or not (registry == "localhost" or "." in registry or ":" in registry):
            msg = (
                f"{archive.name} calls its image {name}, which pods cannot: give it a name with a registry, "
                f"for example buildah push IMAGE oci-archive:{archive.name}:partita.dev/{name}"
            )
            raise ClusterError(msg)
    if not names:
        msg = (
            f"{archive.name} gives its image no name: write it with one, "
            f"for example buildah push IMAGE oci-archive:{archive.name}:partita.dev/app:1"
        )
        raise ClusterError(msg)
    return names
