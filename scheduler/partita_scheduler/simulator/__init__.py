"""A scheduler loop for the embedded cluster: kube-scheduler's part, small, calling real extenders over HTTP."""

from partita_scheduler.simulator.loop import EmbeddedScheduler

__all__ = ["EmbeddedScheduler"]
