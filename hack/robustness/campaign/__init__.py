"""The campaign: the real driver process is killed at every fault point, in every mode, and what it left is judged."""
