"""What we named and have not yet seen in the API, and whether it came true."""
