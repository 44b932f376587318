"""Games: found by `load` under any name, solved by their sequence form, played by their vectors.

`common` serves all rooms; `finite` holds trees and tables, `simulators` what steps in batches,
`adapters` games that others wrote; each further folder is a domain, which no other room imports.
"""

from games.common.errors import GameError, InputError, UnenumerableGameError
from games.common.lazy import later
from games.finite.game import NODE_BUDGET, Game, as_form
from games.finite.normal_form import NormalForm, as_normal_form
from games.finite.openspiel import OpenSpielGame, list_games
from games.finite.sequence_form import SequenceForm, Treeplex
from games.finite.strategy import Strategy
from games.load import load, simulator, vector
from games.maker import makes_games
from games.names import register_simulator

# What learners play stands on torch, which takes its time to import: only when asked for.
_LATER = {
    "check_simulator": "games.simulators.check",
    "parallel_env": "games.adapters.pettingzoo.parallel_env",
}

__all__ = [
    "NODE_BUDGET",
    "Game",
    "GameError",
    "InputError",
    "NormalForm",
    "OpenSpielGame",
    "SequenceForm",
    "Strategy",
    "Treeplex",
    "UnenumerableGameError",
    "as_form",
    "as_normal_form",
    "check_simulator",
    "list_games",
    "load",
    "makes_games",
    "parallel_env",
    "register_simulator",
    "simulator",
    "vector",
]

__getattr__ = later(__name__, _LATER)
