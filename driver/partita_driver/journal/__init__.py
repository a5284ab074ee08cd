"""What the driver intends and has done, on disk before the hardware is touched."""
