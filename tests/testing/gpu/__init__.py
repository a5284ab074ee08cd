"""CUDA devices on the CPU."""
