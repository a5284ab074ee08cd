"""hack/kernels."""
