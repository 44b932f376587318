"""Games: found by `load` under any name, solved by their sequence form, played by their vectors.

`common` serves all folders; `finite` holds trees and tables, `simulators` batched stepping,
`adapters` external games; each further folder is a domain, which no other folder imports.
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

# Simulators need torch, which is slow to import: only when used.
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
