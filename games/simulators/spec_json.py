"""A `Spec` as JSON and back, to store it with a policy's weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from games.common.errors import InputError
from games.simulators.action_sets import Budget
from games.simulators.simulator import Role, Spec


def spec_to_json(spec: Spec) -> dict[str, Any]:
    """A table of plain values; floats keep every bit, and bounds may be Infinity."""
    return {
        "name": spec.name,
        "roles": [
            {"name": r.name, "features": r.features, "action_space": _space_to_json(r.action_space)}
            for r in spec.roles
        ],
        "role_of": list(spec.role_of),
        "num_nodes": spec.num_nodes,
        "edge_features": spec.edge_features,
    }


def spec_from_json(table: dict[str, Any]) -> Spec:
    """The inverse; KeyError, TypeError or ValueError for a malformed table."""
    roles = [
        Role(str(r["name"]), _space_from_json(r["action_space"]), int(r["features"]))
        for r in table["roles"]
    ]
    role_of = tuple(int(k) for k in table["role_of"])
    nodes, edges = int(table["num_nodes"]), int(table["edge_features"])
    return Spec(str(table["name"]), tuple(roles), role_of, nodes, edges)


def _space_to_json(space: Any) -> dict[str, Any]:
    if isinstance(space, Budget):
        return {"kind": "Budget", "costs": list(space.costs), "budget": space.budget}
    if not isinstance(space, spaces.Space):
        raise InputError(f"{space}: a policy with this set of actions cannot be saved")
    given: dict[str, Any] = {"dtype": np.dtype(space.dtype).str}
    if isinstance(space, spaces.Discrete):
        return given | {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        numbers = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return given | {"kind": "MultiDiscrete", **numbers}
    assert isinstance(space, spaces.Box), "Role.sizes lets no other space through"
    return given | {"kind": "Box", "low": space.low.tolist(), "high": space.high.tolist()}


def _space_from_json(table: dict[str, Any]) -> Any:
    kind = table["kind"]
    if kind == "Budget":
        return Budget(tuple(map(float, table["costs"])), float(table["budget"]))
    dtype = np.dtype(table["dtype"])
    if kind == "Discrete":
        return spaces.Discrete(table["n"], start=table["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(table["nvec"], dtype=dtype, start=table["start"])
    if kind == "Box":
        low, high = np.array(table["low"], dtype), np.array(table["high"], dtype)
        return spaces.Box(low, high, dtype=dtype)
    raise ValueError(f"no action space of kind {kind!r}")
