"""Model values to and from the JSON that the API server and users see: the driver writes, the scheduler reads."""

DRIVER_NAME = "gpu.partita.dev"
"""Driver name, attribute domain, and prefix of every label, annotation and taint key."""


def pool_name(node_name: str) -> str:
    """Name of a node's pool. Never the bare node name: drivers sharing it share counters (kubernetes#140434)."""
    return f"{DRIVER_NAME}/{node_name}"


MONITOR_TAINT_KEY = f"{DRIVER_NAME}/monitor"
"""Taint on a node's monitor, always: only a claim that means it tolerates it."""

WITHDRAWN_TAINT_KEY = f"{DRIVER_NAME}/withdrawn"
"""Taint on a device that its node no longer offers: it goes once no claim holds it."""

FAULT_TAINT_KEY = f"{DRIVER_NAME}/fault"
"""Taint on every device that overlaps hardware which failed. Its value is a short machine-readable reason."""

VALIDATED_CONDITION = f"{DRIVER_NAME}/validated"
"""Binding condition: kube-scheduler waits for it before it binds a pod to the claim's node."""

VALIDATION_FAILED_CONDITION = f"{DRIVER_NAME}/validation-failed"
"""Its counterpart: kube-scheduler takes the claim's devices back and looks for others."""
