"""Driver, kubelet, API server and hardware in one process under a seeded scheduler; see docs/robustness.md."""
