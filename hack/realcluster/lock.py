"""Keeps two commands from changing the same cluster at once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout, cache_folder


@contextmanager
def changing(layout: Layout) -> Iterator[None]:
    """Hold the cluster's lock; refuse rather than wait, since the other command may take minutes."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # Not in the cluster's own folder, which `down` removes.
    with (folder / f".{layout.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = "Another hack/cluster command is changing this cluster: wait for it, then try again."
            raise ClusterError(msg) from error
        yield
