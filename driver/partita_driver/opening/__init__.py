"""What a driver is started with, and what it opens for that."""
