"""What each subcommand does, once its arguments are read."""
