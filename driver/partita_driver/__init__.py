"""The DRA driver: a kubelet plugin that makes, proves and hands out partitions."""
