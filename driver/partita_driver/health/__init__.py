"""Faults: what a report means, what is quarantined, and what ends a quarantine."""
