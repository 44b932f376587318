"""What play is worth, and play that cannot be improved on: exact analysis of finite games."""

from analysis.commitment import commitment
from analysis.correlated import correlated_equilibrium
from analysis.efce import extensive_correlated_equilibrium
from analysis.equilibrium import Equilibrium, Joint, Unverified
from analysis.nash import nash
from analysis.response import (
    BestResponse,
    best_response,
    expected_values,
    exploitability,
    nash_conv,
)

__all__ = [
    "BestResponse",
    "Equilibrium",
    "Joint",
    "Unverified",
    "best_response",
    "commitment",
    "correlated_equilibrium",
    "expected_values",
    "exploitability",
    "extensive_correlated_equilibrium",
    "nash",
    "nash_conv",
]
