"""Validators: what they find, what they overlook, and that they say so."""
