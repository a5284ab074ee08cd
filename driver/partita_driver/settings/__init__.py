"""What the cluster's ConfigMap lets this node offer."""
