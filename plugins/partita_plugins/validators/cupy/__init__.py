"""The validator for real GPUs: CuPy loads kernels that were compiled when the image was built, and launches them."""
