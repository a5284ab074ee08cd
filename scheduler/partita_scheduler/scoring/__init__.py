"""Which scorers judge a node, and how their figures make an order."""
