"""A small game of our own, registered with OpenSpiel as any user would."""

import pyspiel


def register(name: str, prize: float, **parameters: int) -> tuple[type, type]:
    """Two players each show heads or tails; equal coins win the prize for the first.

    The parameters, by their defaults, change nothing. Returns the classes of game and state.
    """
    kind = pyspiel.GameType(
        short_name=name,
        long_name="Coins",
        dynamics=pyspiel.GameType.Dynamics.SEQUENTIAL,
        chance_mode=pyspiel.GameType.ChanceMode.DETERMINISTIC,
        information=pyspiel.GameType.Information.IMPERFECT_INFORMATION,
        utility=pyspiel.GameType.Utility.ZERO_SUM,
        reward_model=pyspiel.GameType.RewardModel.TERMINAL,
        max_num_players=2,
        min_num_players=2,
        provides_information_state_string=True,
        provides_information_state_tensor=False,
        provides_observation_string=False,
        provides_observation_tensor=False,
        parameter_specification=parameters,
    )
    info = pyspiel.GameInfo(
        num_distinct_actions=2,
        max_chance_outcomes=0,
        num_players=2,
        min_utility=-prize,
        max_utility=prize,
        utility_sum=0.0,
        max_game_length=2,
    )

    class Coins(pyspiel.Game):
        def __init__(self, params=None):
            super().__init__(kind, info, params or {})

        def new_initial_state(self):
            return State(self)

        def make_py_observer(self, iig_obs_type=None, params=None):
            return None

    class State(pyspiel.State):
        def __init__(self, game):
            super().__init__(game)
            self.shown = []

        def current_player(self):
            return pyspiel.PlayerId.TERMINAL if len(self.shown) == 2 else len(self.shown)

        def _legal_actions(self, player):
            return [0, 1]

        def _apply_action(self, action):
            self.shown.append(action)

        def _action_to_string(self, player, action):
            return ("heads", "tails")[action]

        def is_terminal(self):
            return len(self.shown) == 2

        def returns(self):
            if not self.is_terminal():
                return [0.0, 0.0]
            won = prize if self.shown[0] == self.shown[1] else -prize
            return [won, -won]

        def information_state_string(self, player=None):
            return f"player {len(self.shown) if player is None else player}"

        def __str__(self):
            return str(self.shown)

    pyspiel.register_game(kind, Coins)
    return Coins, State
