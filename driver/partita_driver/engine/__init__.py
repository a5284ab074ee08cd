"""The claim engine: prepares, validates, hands out and takes back what claims hold on this node."""

from partita_driver.engine.core import ClaimEngine
from partita_driver.engine.values import PreparedClaim, PreparedDevice
from partita_driver.journal.records import ValidationSummary

__all__ = ["ClaimEngine", "PreparedClaim", "PreparedDevice", "ValidationSummary"]
