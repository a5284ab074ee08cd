"""Judges of what a placement gives to the pod and leaves to others: topology, memory, fragmentation."""
