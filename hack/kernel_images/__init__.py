"""Compiles the GPU kernels by NVRTC and looks at the machine code: no GPU, no CUDA toolkit."""
