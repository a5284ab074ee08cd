"""What runs while the driver serves, and how one instance of it gives way to the next."""
