"""Validation on CUDA devices: what is run and how it is judged, with a child process for each device.

`port` is what it needs of a device. A validator is CudaValidator with an opener of such devices.
"""
