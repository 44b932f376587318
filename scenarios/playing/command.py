"""The command `schelling play`: games of a trained policy, or a comparison of players."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from games.common.errors import InputError
from games.common.extras import learning
from scenarios.terminal import Json, Seed, say

if TYPE_CHECKING:
    from scenarios.playing.one import Games
    from scenarios.playing.scenario import PlayingScenario


def play(
    target: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or a policy.pt; with --players also a game.",
            metavar="GAME_OR_RUN",
        ),
    ],
    players: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Compare these: runs, files, rules as fixed(zeta=1) (`schelling list rules`).",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="The player that the others are compared with (the first).")
    ] = None,
    episodes: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of whole games.")
    ] = 100,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sampled", help="Likeliest or drawn actions.")
    ] = False,
    game: Annotated[
        str | None, typer.Option(help="Play another game, such as one with more agents.")
    ] = None,
    against: Annotated[
        str, typer.Option(help="Who plays the other seats: self, random, or any player.")
    ] = "self",
    best: Annotated[
        bool, typer.Option("--best", help="Play the best policy, not the last.")
    ] = False,
    render: Annotated[
        Path | None, typer.Option(help="Draw one game: .gif, or its end as .png.")
    ] = None,
    as_text: Annotated[bool, typer.Option("--print", help="Print one game move by move.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --players: folder for table and picture.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Play whole games with a trained policy: mean returns, lengths and the game's metrics, with
    standard errors.

    With --players, rules, planners, runs and files play the same games: a table of means, paired
    differences, and the game's optimum or bound, all with 95% intervals. If the first argument is
    a run, its policy plays too. --render and --print show a game of the first player.
    """
    asked = _Asked(target, game, episodes, greedy, against, render, as_text, seed, as_json)
    with learning():
        if players is not None:
            if best:
                raise InputError(
                    "--best is for one run alone: with --players, runs play their best policy"
                )
            _compare(asked, players, to, out)
            return
        for flag, value in (("--to", to), ("--out", out)):
            if value is not None:
                raise InputError(f"{flag} needs --players: it is for comparisons")
        _play_run(asked, best)


@dataclass(frozen=True)
class _Asked:
    """Options that both ways of playing share."""

    target: str
    game: str | None
    episodes: int
    greedy: bool
    against: str
    render: Path | None
    as_text: bool
    seed: int | None
    as_json: bool

    def games(self, name: str) -> Games:
        """The games of that name, played as was asked."""
        from scenarios.playing.one import Games

        return Games(name, self.seed or 0, self.greedy, self.against)


def _play_run(asked: _Asked, best: bool) -> None:
    """Play the policy of a run or a file, alone."""
    from games.load import held_out
    from marl.networks.policy import Policy
    from scenarios.playing.one import play_one, watching
    from scenarios.runs import Run

    path = Path(asked.target)
    if not path.exists():
        raise InputError(f"{path} is not a run; if it is a game, say who plays: --players uniform")
    policy = Policy.load(path) if path.is_file() else Run.load(path).policy(best)
    name = held_out(policy.game) if asked.game is None else asked.game
    watch = watching(name, asked.render, asked.as_text)
    play_one(asked.target, policy, asked.games(name), asked.episodes, watch, asked.as_json)


def _compare(asked: _Asked, players: str, to: str | None, out: Path | None) -> None:
    """Compare players in the same games; with `out`, keep the comparison as a run."""
    from scenarios.lookup import split
    from scenarios.playing.comparing import compare
    from scenarios.playing.kind import KIND
    from scenarios.playing.one import watching
    from scenarios.playing.tables import print_comparison
    from scenarios.runs import Run
    from scenarios.store import require_free

    texts = [text.strip() for text in split(players)]
    name = _game_of(asked)
    if name != asked.target:  # the run's own policy plays first
        texts = [asked.target, *(text for text in texts if text != asked.target)]
    scenario = _scenario(asked, name, texts, to)
    if out is not None:
        require_free(out)
    watch = watching(name, asked.render, asked.as_text)
    with KIND.progress(scenario) as show, KIND.ready(scenario) as ready:
        if out is None:
            found, where = compare(scenario, ready, show), {}
        else:
            (found,) = Run.create(scenario, out).execute(ready, show, say)
            where = {"run": str(out), "scenario": scenario.name, "finished": True}
        if watch is not None:
            asked.games(name).watch(next(iter(ready.values())), watch)
            watch.finish(to_stderr=asked.as_json)
    print_comparison(found, asked.as_json, where)
    if asked.render is not None and not asked.as_json:
        print(f"written: {asked.render}")


def _game_of(asked: _Asked) -> str:
    """The game to play: the argument itself, or that of a run."""
    from games.load import held_out
    from marl.networks.policy import Policy
    from scenarios.runs import Run

    path = Path(asked.target)
    if path.suffix != ".pt" and not path.is_dir():
        if asked.game is not None:
            raise InputError("--game is for runs; here the first argument is the game")
        return asked.target
    if asked.game is not None:
        return asked.game
    return held_out(Policy.load(path).game if path.is_file() else Run.load(path).scenario.game)


def _scenario(asked: _Asked, name: str, texts: list[str], to: str | None) -> PlayingScenario:
    """The comparison as a scenario, for its checks and messages."""
    from games.common.settings import checked
    from scenarios.playing.scenario import PlayingScenario

    data = {
        "name": "play", "game": name, "players": texts, "episodes": asked.episodes,
        "seed": asked.seed or 0, "greedy": asked.greedy, "against": asked.against, "to": to,
    }  # fmt: skip
    return checked(PlayingScenario, data, "play")
