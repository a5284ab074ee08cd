"""The workload to expect, learned from the claims that kube-scheduler allocates."""
