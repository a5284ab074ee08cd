"""Sharing strategies: a granted device as hardware steps."""
