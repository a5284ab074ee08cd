"""What is seen of the cluster: the values at one moment, and the watches that keep them."""
