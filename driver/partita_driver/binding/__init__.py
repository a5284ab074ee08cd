"""Validation before the bind: kube-scheduler waits for a node's devices to be proven (KEP-5007)."""
