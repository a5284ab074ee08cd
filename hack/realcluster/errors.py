"""The one error that a user of `hack/cluster` is meant to read."""

from __future__ import annotations


class ClusterError(Exception):
    """What went wrong and what to do next, in words for the person at the keyboard."""
