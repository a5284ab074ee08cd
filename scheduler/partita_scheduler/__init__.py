"""The scheduler extender: what it sees, how it decides, how it explains."""
