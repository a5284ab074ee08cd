"""A kubelet for one pretended node: everything a DRA driver and a pod's claims see of the real one, and no containers.

It registers drivers from their sockets, calls Prepare and Unprepare over gRPC, resolves CDI devices, and shows what
each container would have been given as a `ContainerView`.
"""

from partita_plugins.testing.kubelet.cdi import CdiError
from partita_plugins.testing.kubelet.health import DeviceHealth
from partita_plugins.testing.kubelet.kubelet import Kubelet
from partita_plugins.testing.kubelet.settings import KubeletSettings
from partita_plugins.testing.kubelet.views import ContainerView, DeviceNode, Mount

__all__ = ["CdiError", "ContainerView", "DeviceHealth", "DeviceNode", "Kubelet", "KubeletSettings", "Mount"]
