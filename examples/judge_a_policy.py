"""Judge rules and policies in the same games, with intervals and paired differences."""

import sys

from marl.evaluation.comparison import compare
from marl.evaluation.players import player

GAME = "safe_navigation(agents=4,layout=swap,max_steps=200)"
names = ["fixed(zeta=1)", "yielding", *sys.argv[1:]]  # add run folders or policy files of yours

if __name__ == "__main__":
    players = {name: player(name, GAME) for name in names}
    table = compare(GAME, players, episodes=64, to="fixed(zeta=1)")
    wanted = table[table["metric"].isin(["spl", "all_arrived"])]
    columns = ["player", "metric", "mean", "low", "high", "difference", "difference_low"]
    print(wanted[columns].round(3).to_string(index=False))
