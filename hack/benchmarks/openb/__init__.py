"""Fragmentation on a trace of a real cluster, by the protocol of FGD (USENIX ATC 2023)."""
