"""What a game is: OpenSpiel's games, their sequence form, and strategies over it."""

from games.errors import GameError, InputError, UnenumerableGameError
from games.openspiel import NODE_BUDGET, Game, list_games, load
from games.sequence_form import SequenceForm, Treeplex
from games.strategy import Strategy

__all__ = [
    "NODE_BUDGET",
    "Game",
    "GameError",
    "InputError",
    "SequenceForm",
    "Strategy",
    "Treeplex",
    "UnenumerableGameError",
    "list_games",
    "load",
]
