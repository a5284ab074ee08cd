"""The kubelet's side: sockets, registration, Prepare and Unprepare, the health stream. The only place that knows gRPC.

What stands here is the plugin protocol of Kubernetes 1.34 to 1.37 and nothing of GPUs.
"""
