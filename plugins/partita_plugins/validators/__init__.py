"""Validators compute on a device and compare with known answers; each is found by entry point.

`answers` has the answers and is what every other implementation is measured against.
"""
