"""A real Kubernetes cluster on one machine, for development and for scenarios.

Real control plane, several real kubelets, each with its own containerd; no Docker and no virtual machine.
The command is `hack/cluster`; only the standard library of Python is used.
"""
