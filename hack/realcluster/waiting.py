"""Waits until something is so, and says why not when it never is."""

from __future__ import annotations

import time
from collections.abc import Callable

from hack.realcluster.control import Control
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout

_PAUSE_SECONDS = 0.05
_SHOWN_LINES = 12


def wait_until(
    what: str,
    is_so: Callable[[], bool],
    layout: Layout,
    *,
    component: str,
    seconds: float = 60.0,
) -> None:
    """Wait for a condition that this component brings about; give up early when the component has ended."""
    deadline = time.monotonic() + seconds
    while not is_so():
        ended = {running.name: running.exit_code for running in Control(layout).components()}.get(component)
        if ended is not None:
            msg = f"{component} ended with code {ended}; waited for: {what}.\n{advice(layout, component)}"
            raise ClusterError(msg)
        if time.monotonic() > deadline:
            msg = f"This did not happen within {seconds:.0f} s: {what}.\n{advice(layout, component)}"
            raise ClusterError(msg)
        time.sleep(_PAUSE_SECONDS)


def advice(layout: Layout, component: str) -> str:
    """Return the last lines of a component's log, and where the rest is."""
    try:
        lines = layout.log(component).read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
    except FileNotFoundError:
        lines = []
    shown = "\n".join(f"  | {line[:300]}" for line in lines)
    return f"{shown}\nMore: hack/cluster logs {component}. Then: hack/cluster down"
