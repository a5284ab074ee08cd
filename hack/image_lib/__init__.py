"""Builds the container image: a Debian base, locked wheels, one OCI archive; each part is cached by its content."""
