"""Validators: known answers computed on the device that a pod will get."""
