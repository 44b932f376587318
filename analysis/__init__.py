"""What play is worth: best responses and distances from equilibrium, exact on a sequence form."""

from analysis.response import (
    BestResponse,
    best_response,
    expected_values,
    exploitability,
    nash_conv,
)

__all__ = ["BestResponse", "best_response", "expected_values", "exploitability", "nash_conv"]
