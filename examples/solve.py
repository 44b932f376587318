"""Solve a game: an approximate solver, the exact equilibrium, and how far play is from it."""

import analysis
import games
from marl import tabular

form = games.load("leduc_poker").sequence_form()

# An iterative solver, stopped at a NashConv of one thousandth.
solution = tabular.solve(form, "cfr+", target=1e-3)
print(f"CFR+: value {solution.value:.4f}, NashConv {solution.nash_conv:.1e}")

# The exact equilibrium, by a linear program over the sequence form.
nash = analysis.solve(form, "nash")
print(f"Nash: value {nash.value:.7f}, regret {nash.regret:.1e}, by {nash.method}")

# What somebody gains who knows how the other plays, against uniform play and against CFR+.
for name, strategy in (
    ("uniform play", games.Strategy.uniform(form)),
    ("CFR+", solution.strategy),
):
    best = analysis.best_response(form, strategy, player=0)
    print(f"best response against {name}: {best.value:.4f}")

# With a king and a jack on the table, facing a raise: what does the first player do?
table = solution.strategy.to_frame()
print(table[table["information_set"].str.contains("Private: 4.*Public: 0")].head(4).to_string())
