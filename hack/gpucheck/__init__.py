"""hack/gpu-check: the NVML backend against a real GPU, without changing anything on it."""
