"""Exact analysis of finite games: equilibria, best responses, values, and their pictures."""

from analysis.concepts import correlated, stackelberg
from analysis.correlated.deviations import correlated_gains, distances
from analysis.correlated.dynamics import correlated_dynamics
from analysis.correlated.efce import extensive_correlated_equilibrium
from analysis.correlated.normal_form import correlated_equilibrium
from analysis.correlated.region import payoff_region
from analysis.equilibria.equilibrium import Equilibrium, Joint, Unverified
from analysis.equilibria.nash import nash
from analysis.equilibria.precision import fit_precision
from analysis.equilibria.quantal import logit, logit_path
from analysis.equilibria.response import (
    BestResponse,
    best_response,
    deviation_gains,
    expected_values,
    exploitability,
    nash_conv,
)
from analysis.equilibria.zero_sum import sequence_form_lp
from analysis.populations.alpharank import AlphaRank, alpharank
from analysis.populations.empirical import EmpiricalGame, empirical_game
from analysis.populations.evolution import replicator
from analysis.solve import CONCEPTS, solve
from analysis.stackelberg.bayesian import bayesian_stackelberg
from analysis.stackelberg.commitment import commitment
from analysis.stackelberg.security import eraser, origami
from analysis.stackelberg.tables import multiple_lps, pure_commitment
from games.common.lazy import later

# Inventory problems stand apart from games, and not everybody has one.
_LATER = dict.fromkeys(
    ("backlogged", "lost_sales", "serial", "transshipment_bound", "warehouse_bound"),
    "analysis.inventory.optima",
) | dict.fromkeys(("Reference", "gap"), "games.simulators.references")

__all__ = [
    "CONCEPTS",
    "AlphaRank",
    "BestResponse",
    "EmpiricalGame",
    "Equilibrium",
    "Joint",
    "Reference",
    "Unverified",
    "alpharank",
    "backlogged",
    "bayesian_stackelberg",
    "best_response",
    "commitment",
    "correlated",
    "correlated_dynamics",
    "correlated_equilibrium",
    "correlated_gains",
    "deviation_gains",
    "distances",
    "empirical_game",
    "eraser",
    "expected_values",
    "exploitability",
    "extensive_correlated_equilibrium",
    "fit_precision",
    "gap",
    "logit",
    "logit_path",
    "lost_sales",
    "multiple_lps",
    "nash",
    "nash_conv",
    "origami",
    "payoff_region",
    "pure_commitment",
    "replicator",
    "sequence_form_lp",
    "serial",
    "solve",
    "stackelberg",
    "transshipment_bound",
    "warehouse_bound",
]

__getattr__ = later(__name__, _LATER)
