"""Answers about pods: to kube-scheduler, to autoscalers, and to people who wonder why one is pending."""
