"""What kube-controller-manager does for claims, pods and their owners, as one loop over the embedded API server.

Each controller is a function from the API to the API: it looks at everything and takes the next steps. They may run
any number of times, in any order, and again after a crash.
"""

from partita_plugins.testing.controllers.loop import CONTROLLERS, Controllers

__all__ = ["CONTROLLERS", "Controllers"]
