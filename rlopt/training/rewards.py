"""The scores PPO maximises: predicted lift over the item's own baseline, and constraints as separate, visible terms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from reward.items import Item
from rlopt.policy.constraints import Constraints
from rlopt.policy.prompt import Renderer

FloatArray = npt.NDArray[np.float64]
RewardFunction = Callable[..., list[float]]
MAX_SCORE = 4.0


class Prediction(Protocol):
    """What a scorer returns; `reward.model.RewardPrediction` has this shape."""

    @property
    def reward(self) -> FloatArray:
        """Expected value per impression, shape (n,)."""

    @property
    def effect_std(self) -> FloatArray:
        """Uncertainty of the title's effect on the log scale, shape (n,)."""


Scorer = Callable[[Sequence[Item], Sequence[str]], Prediction]


@dataclass(frozen=True)
class LiftScale:
    """Puts rewards of all items on one scale: relative to the item's baseline, in standard deviations of SFT titles.

    Parameters
    ----------
    baseline
        Reward that the item earns anyway, shape (n_items,), > 0.
    spread
        Standard deviation of the relative lift over the SFT policy's titles.
    """

    baseline: FloatArray
    spread: float

    @classmethod
    def fit(cls, baseline: FloatArray, item_index: npt.NDArray[np.int64], rewards: FloatArray) -> "LiftScale":
        """From baselines (n_items,) and the ``rewards`` (n,) of SFT titles for the items ``item_index`` (n,)."""
        baseline = np.maximum(baseline, 1e-12)
        lift = rewards / baseline[item_index] - 1.0
        return cls(baseline, max(float(lift.std()), 1e-6))

    def score(self, item_index: npt.NDArray[np.int64], reward: FloatArray) -> FloatArray:
        """(reward / baseline - 1) / spread, held within +-`MAX_SCORE`, shape (n,)."""
        lift = reward / self.baseline[item_index] - 1.0
        return np.clip(lift / self.spread, -MAX_SCORE, MAX_SCORE)


def reward_functions(
    items: Sequence[Item],
    renderer: Renderer,
    scorer: Scorer,
    scale: LiftScale,
    constraints: Constraints,
    risk_aversion: float,
    eos_token_id: int,
) -> list[RewardFunction]:
    """Reward functions for trl; the dataset's ``item_index`` column says which item a completion is for.

    ``lift`` is the scaled predicted lift, lowered by ``risk_aversion`` standard deviations of what the reward model
    does not know about the *title* (its uncertainty about the item is the same whatever the title says);
    ``constraints`` is 0 for a good title and falls by one for each kind of violation.
    """

    def lift(completions: list[str], item_index: list[int], log_metric: Any = None, **_: Any) -> list[float]:
        shop = [items[i] for i in item_index]
        titles = [renderer.title(item, text) for item, text in zip(shop, completions, strict=True)]
        predicted = scorer(shop, titles)
        index = np.asarray(item_index)
        if log_metric is not None:
            relative = predicted.reward / scale.baseline[index] - 1.0
            log_metric("objective/predicted_lift", float(relative.mean()))
            log_metric("objective/effect_std", float(predicted.effect_std.mean()))
        cautious = predicted.reward * np.exp(-risk_aversion * predicted.effect_std)
        return [float(score) for score in scale.score(index, cautious)]

    def constraint(
        completions: list[str],
        completion_ids: list[list[int]],
        item_index: list[int],
        log_metric: Any = None,
        **_: Any,
    ) -> list[float]:
        penalties = []
        kinds: dict[str, int] = {}
        for text, ids, i in zip(completions, completion_ids, item_index, strict=True):
            violations = constraints.check(items[i], renderer.title(items[i], text))
            names = {violation.kind for violation in violations}
            if eos_token_id not in ids:
                names.add("unfinished")
            for name in names:
                kinds[name] = kinds.get(name, 0) + 1
            penalties.append(-float(len(names)))
        if log_metric is not None:
            log_metric("constraints/violated", float(np.mean([p < 0 for p in penalties])))
            for name in sorted(kinds):
                log_metric(f"constraints/{name}", kinds[name] / len(completions))
        return penalties

    constraint.__name__ = "constraints"
    return [lift, constraint]
