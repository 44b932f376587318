"""The commands of runs that train: run, resume, show, and `schelling play`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from games.common.errors import InputError
from scenarios.terminal import (
    FOLLOWED,
    Json,
    Seed,
    followed,
    print_table,
    say,
    training_progress,
)

if TYPE_CHECKING:
    from marl.networks.policy import Policy
    from scenarios.solving.scenario import Experiment
    from scenarios.training.run import TrainingResult, TrainingRun
    from scenarios.training.scenario import TrainingScenario

CHANGEABLE = ("stop", "checkpoint", "evaluation", "resources")  # of a run that goes on
MOST_AGENTS = 8  # whose returns are told one by one


class Opponent(StrEnum):
    """Who plays the other seats."""

    self = "self"
    random = "random"


def train(scenario: TrainingScenario, out: Path | None, address: str | None, as_json: bool) -> None:
    """`schelling run` of a scenario that trains."""
    from scenarios import store
    from scenarios.solving.run import Run
    from scenarios.training.run import TrainingRun

    scenario = at_address(scenario, address)
    if out is not None:
        store.require_free(out)
    with training_progress(scenario.stop.steps) as show, scenario.start() as training:
        work = Run.create(scenario, out)  # a game that does not load leaves no folder behind
        assert isinstance(work, TrainingRun)
        results = work.execute(training, show, say)
    print_training(work, results, as_json)


def go_on(
    work: TrainingRun, changed: Experiment | None, address: str | None, as_json: bool
) -> None:
    """`schelling resume` of a run that trains, with its scenario changed or not."""
    from scenarios.training.run import TrainingRun

    scenario = work.scenario
    if changed is not None:
        without = set(CHANGEABLE)
        if changed.model_dump(exclude=without) != scenario.model_dump(exclude=without):
            raise InputError(
                f"resume can --set keys of {', '.join(CHANGEABLE)} only; start a new run"
            )
        scenario = changed  # type: ignore[assignment]
    work = TrainingRun(work.path, at_address(scenario, address))
    with training_progress(scenario.stop.steps) as show:
        results = work.execute(None, show, say)
    print_training(work, results, as_json)


def show_training(work: TrainingRun, as_json: bool) -> None:
    """`schelling show` of a run that trains."""
    results = work.results
    if results is not None:
        print_training(work, results, as_json)
        return
    from scenarios.training import store as training_store

    last: dict[str, float] = {}
    for row in training_store.read(work.path):
        last |= {key: value for key, value in row.items() if value == value}
    if as_json:
        print(json.dumps({"run": str(work.path), "finished": False, "progress": last}))
        return
    rows = [{"updates": f"{last['update']:,.0f}", **_told(last, {})}] if last else []
    print_table(f"{work.scenario.game}, not finished", rows)
    print(f"go on with: schelling resume {work.path}")


def play(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a policy.pt.", metavar="RUN")],
    episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Whole games.")] = 100,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sampled", help="The likeliest action, or a drawn one.")
    ] = False,
    game: Annotated[
        str | None, typer.Option(help="Another game, such as one with more agents.")
    ] = None,
    against: Annotated[Opponent, typer.Option(help="Who plays the other seats.")] = Opponent.self,
    best: Annotated[bool, typer.Option("--best", help="The best policy, not the last.")] = False,
    render: Annotated[
        Path | None, typer.Option(help="Draw one game: .gif, or its end as .png.")
    ] = None,
    as_text: Annotated[bool, typer.Option("--print", help="Tell one game move by move.")] = False,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Play whole games with a policy that was trained: returns, lengths and what the game reports,
    with standard errors."""
    from scenarios.training.learners import installed

    with installed():
        from games.vectors import held_out, vector
        from marl.evaluation.actors import Uniform
        from marl.evaluation.episodes import evaluate
        from scenarios.training.run import summary
        from scenarios.training.watching import MOST_PICTURES, Watching

    policy = _policy(run, best)
    name = held_out(policy.game) if game is None else game
    watching = Watching(name, render, as_text) if render is not None or as_text else None
    options: dict[str, Any] = {"seed": seed or 0, "greedy": greedy}
    if against is Opponent.random:
        options["against"] = Uniform(vector(name, 1).spec)
    played = evaluate(policy, name, episodes=episodes, **options)
    found = summary(played, name, vector(name, 1).spec)
    agents = played.returns.shape[1]
    if 1 < agents <= MOST_AGENTS:
        found |= {f"return_{i}": float(played.returns[:, i].mean()) for i in range(agents)}
    if watching is not None:
        if render is not None:
            options["longest"] = MOST_PICTURES
        evaluate(policy, watching.game, episodes=1, watch=watching, **options)
        watching.finish(to_stderr=as_json)
    if as_json:
        print(json.dumps({"run": str(run), "game": name, "episodes": episodes, **found}))
        return
    rows = [
        {
            "": key.replace("_", " "),
            "mean": f"{value:.4f}",
            "standard error": f"{found[f'{key}_error']:.4f}" if f"{key}_error" in found else "",
        }
        for key, value in found.items()
        if not key.endswith(("_error", "_low", "_high"))
    ]
    print_table(f"{name}, {episodes:,} games", rows)
    print_gap(found)
    if render is not None:
        print(f"written: {render}")


def at_address(scenario: TrainingScenario, address: str | None) -> TrainingScenario:
    """The scenario on another cluster ("local": on this machine); unchanged if None."""
    if address is None:
        return scenario
    where = None if address == "local" else address
    resources = scenario.resources.model_copy(update={"address": where})
    return scenario.model_copy(update={"resources": resources})


def print_training(work: TrainingRun, results: list[TrainingResult], as_json: bool) -> None:
    """The table that training ends with, or its JSON."""
    (result,) = results
    if as_json:
        where = {"run": str(work.path), "scenario": work.scenario.name, "finished": True}
        print(json.dumps(result.to_json() | where))
        return
    row = {
        "method": result.method,
        "updates": f"{result.updates:,}",
        **_told(result.metrics, result.evaluation),
        "seconds": f"{result.seconds:,.0f}",
    }
    print_table(result.game, [row])
    print_gap(result.evaluation)
    if result.best:
        from scenarios.training.best import in_words

        print(in_words(result.best, result.updates))
    print(f"run: {work.path} (play it: schelling play {work.path})")


def print_gap(found: dict[str, float]) -> None:
    """How far a cost is from the least that it can be, with the 95% interval over games."""
    if "gap" in found:
        known = "optimum" if "optimum" in found else "lower_bound"
        print(
            f"{known.replace('_', ' ')} {found[known]:.4f}, gap {found['gap']:.2f}% "
            f"(95%: {found['gap_low']:.2f} to {found['gap_high']:.2f})"
        )


def _told(last: dict[str, float], evaluation: dict[str, float]) -> dict[str, str]:
    """Columns of the most telling metrics; of evaluated ones also the standard error."""
    row = {"steps": f"{last['steps']:,.0f}"} if "steps" in last else {}
    for name, key, form in FOLLOWED:
        plain = key.removeprefix("eval_")
        if plain in evaluation:
            row[name] = f"{evaluation[plain]:{form}}"
            if (error := evaluation.get(f"{plain}_error")) is not None:
                row[name] += f" ± {error:{form}}"
        elif (value := followed(last, key)) is not None:
            row[name] = f"{value:{form}}"
    return row


def _policy(run: Path, best: bool) -> Policy:
    from marl.networks.policy import Policy
    from scenarios.solving.run import Run

    if run.is_file():
        return Policy.load(run)
    work = Run.load(run)
    if isinstance(work, Run):
        raise InputError(f"{run} solved a game, nothing was trained: `schelling show {run}`")
    return work.policy(best)
