"""Public fakes: a small Kubernetes to run Partita in, without a cluster and without GPUs.

`apiserver` speaks real HTTP, `controllers` do what kube-controller-manager does for claims and pods, `kubelet` speaks
the real plugin protocol over gRPC, and `extender_client` calls an extender as kube-scheduler does. The demo and the
tests run on them; what they have shown is proven again on a real cluster.
"""
