"""An embedded Kubernetes API server: enough of the real one for drivers, schedulers, kubectl and their clients.

It keeps the contracts that such programs lean on: resource versions and conflicts, watches with a bounded history,
status as a part of its own, finalizers and graceful deletion, `Status` errors with Kubernetes' reasons, and the limits
of ResourceSlices and ResourceClaims. It has no authentication, no admission plugins and one version of each group.
"""

from partita_plugins.testing.apiserver.errors import ApiError
from partita_plugins.testing.apiserver.faults import Fault, Faults
from partita_plugins.testing.apiserver.local import LocalApi
from partita_plugins.testing.apiserver.server import ApiServer

__all__ = ["ApiError", "ApiServer", "Fault", "Faults", "LocalApi"]
