"""Learning methods by name, for `schelling list learners`."""

from __future__ import annotations

from games.common.extras import learning
from marl.learning.method import METHODS, LearningMethod


def list_learners() -> list[dict[str, str]]:
    """Every learning method with the first line of its description and its parameters."""
    return [
        {
            "learner": name,
            "description": (_load(name).__doc__ or "").split("\n")[0],
            "parameters": ", ".join(
                f"{field}={info.default!r}"
                for field, info in _load(name).model_fields.items()
                if field != "name"
            ),
        }
        for name in METHODS
    ]


def _load(name: str) -> type[LearningMethod]:
    with learning("training needs torch and Ray"):
        return METHODS.load(name)
