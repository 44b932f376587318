"""OpenSpiel's games: found by name, checked before they are built, compiled and cached."""

from games.finite.openspiel.game import OpenSpielGame
from games.finite.openspiel.loading import list_games, load_openspiel
from games.finite.openspiel.states import tabular_policy

__all__ = ["OpenSpielGame", "list_games", "load_openspiel", "tabular_policy"]
