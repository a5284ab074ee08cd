"""The C library that answers as libnvidia-ml.so.1."""
