"""Scorers: one judgement of a node each."""
