"""Pictures of games of VMAS, drawn without a display: VMAS's own renderer needs one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.patches as shapes
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from games.adapters.vmas.simulator import State, VmasSimulator

AREA, DOTS = 23.0, 100  # square inches of a picture, and dots an inch
RIM = 1.05  # of the view, around all agents
THIN = 0.012  # width of a line, as a share of the view's height


@torch.no_grad()
def frames(simulator: VmasSimulator, states: Sequence[State], first: int = 0) -> list[NDArray]:
    """The first game's states from number `first` on as pictures, uint8 [H, W, 3], of one scale.

    Agents are discs or boxes with their number; landmarks that nothing bumps into, such as goals,
    have a broken rim. Colours, shapes and view are the scenario's own; what it paints besides, and
    rays of sensors, are not drawn.
    """
    environment = simulator.world_of(states[0])
    half = np.max([_half(simulator.world_of(state)) for state in states], axis=0)
    found = []
    for state in states[first:]:
        environment = simulator.world_of(state)
        figure = Figure(figsize=_size(half), dpi=DOTS)
        ax = figure.add_axes((0, 0, 1, 1))
        origin = np.array(environment.scenario.render_origin, dtype=float)
        low, high = origin - half, origin + half
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        ax.set_axis_off()
        _world(ax, environment, float(half[1]))
        ax.text(
            0.015, 0.985, f"step {int(state.steps[0])}", transform=ax.transAxes, va="top", size=9,
            color="0.25", bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
            zorder=9,
        )  # fmt: skip
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        found.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return found


def _half(environment: Any) -> NDArray[np.float64]:
    """Half the width and height of a view in which all agents are."""
    scenario = environment.scenario
    width, height = scenario.viewer_size
    view = scenario.viewer_zoom * np.array([max(width / height, 1), max(height / width, 1)])
    origin = np.array(scenario.render_origin, dtype=float)
    far = [np.zeros(2)]
    for agent in environment.world.agents:
        reach = agent.shape.circumscribed_radius()
        far.append(np.abs(_numbers(agent.state.pos[0]) - origin) + 2 * reach)
    return view * max(1.0, float((np.max(far, axis=0) / view).max())) * RIM


def _size(half: NDArray[np.float64]) -> tuple[float, float]:
    """Inches of a picture: whole pixels, always as many for views of one shape."""
    scale = (AREA / (half[0] * half[1])) ** 0.5
    width, height = (round(float(side) * scale * DOTS / 2) * 2 / DOTS for side in half)
    return width, height


def _world(ax: Axes, environment: Any, half: float) -> None:
    """All entities, joints and bounds of a world."""
    world, scenario = environment.world, environment.scenario
    x, y = world.x_semidim, world.y_semidim
    if scenario.visualize_semidims and x is not None and y is not None:
        box = shapes.Rectangle((-x, -y), 2 * x, 2 * y, fill=False, ec="0.7", lw=1.2, zorder=1)
        ax.add_patch(box)
    for joint in world.joints:
        if joint.dist:
            ends = [_numbers(joint.pos_point(e)[0]) for e in (joint.entity_a, joint.entity_b)]
            ax.plot(*np.transpose(ends), color="0.3", lw=1, zorder=2)
    for landmark in world.landmarks:
        if bool(landmark.is_rendering[0]):
            _entity(ax, landmark, half, zorder=3 if landmark.collide else 2)
    numbers = {id(agent): str(number) for number, agent in enumerate(environment.agents)}
    for agent in world.agents:
        if bool(agent.is_rendering[0]):
            _entity(ax, agent, half, zorder=4, label=numbers.get(id(agent), ""))
    _goals(ax, environment)


def _entity(ax: Axes, entity: Any, half: float, zorder: int, label: str | None = None) -> None:
    """One entity; `label` is what an agent is called, None of landmarks."""
    shape, (x, y) = entity.shape, _numbers(entity.state.pos[0])
    colour = _colour(entity)
    solid = label is not None or entity.collide
    style: dict[str, Any] = {
        "facecolor": (*colour, 0.85 if solid else 0.3), "edgecolor": tuple(0.6 * c for c in colour),
        "linewidth": 1.0, "linestyle": "-" if solid else "--", "zorder": zorder,
    }  # fmt: skip
    turn = Affine2D().rotate(float(entity.state.rot[0])).translate(x, y) + ax.transData
    match type(shape).__name__:
        case "Sphere":
            patch: Any = shapes.Circle((0, 0), shape.radius, **style)
        case "Box":
            corner = -shape.length / 2, -shape.width / 2
            patch = shapes.Rectangle(corner, shape.length, shape.width, **style)
            patch.set_fill(not shape.hollow)
        case _:  # a line, which has no width
            wide = THIN * half
            style["linewidth"] = 0
            patch = shapes.Rectangle((-shape.length / 2, -wide / 2), shape.length, wide, **style)
    patch.set_transform(turn)
    ax.add_patch(patch)
    if label is not None:
        size = 200 * min(shape.circumscribed_radius() / half, 0.05)
        _write(ax, (x, y), label, colour, size, zorder + 1)


def _goals(ax: Axes, environment: Any) -> None:
    """The numbers of agents at the landmarks that are their goals."""
    of: dict[int, tuple[Any, list[str]]] = {}
    for number, agent in enumerate(environment.agents):
        goal = agent.goal
        if goal is not None and any(goal is landmark for landmark in environment.world.landmarks):
            of.setdefault(id(goal), (goal, []))[1].append(str(number))
    for goal, numbers in of.values():
        if bool(goal.is_rendering[0]) and len(numbers) < len(environment.agents):
            x, y = _numbers(goal.state.pos[0])
            ax.text(
                x, y, ",".join(numbers), ha="center", va="center_baseline", size=7, color="0.2",
                zorder=3, clip_on=True,
            )  # fmt: skip


def _write(ax: Axes, place: Any, text: str, colour: Any, size: float, zorder: int) -> None:
    light = float(np.dot(colour, (0.299, 0.587, 0.114))) > 0.6
    x, y = place
    ax.text(
        x, y, text, ha="center", va="center_baseline", size=max(size, 5), weight="bold",
        color="0.1" if light else "white", zorder=zorder, clip_on=True,
    )  # fmt: skip


def _colour(entity: Any) -> tuple[float, float, float]:
    given = entity.color
    if isinstance(given, torch.Tensor):
        given = _numbers(given if given.dim() == 1 else given[0])
    red, green, blue = (min(max(float(part), 0.0), 1.0) for part in tuple(given)[:3])
    return to_rgb((red, green, blue))


def _numbers(value: torch.Tensor) -> NDArray[np.float64]:
    return value.detach().cpu().double().numpy()
