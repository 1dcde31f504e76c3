"""The scores PPO maximises: predicted lift over the item's own baseline, and constraints as separate, visible terms."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reward.arrays import FloatArray, IntArray
from reward.belonging.belonging import FLUENCY, RELEVANCE, Belonging
from reward.items import Item
from reward.model.caution import Prediction, cautious_reward
from rlopt.policy.constraints import RULES, Constraints
from rlopt.policy.prompt import Renderer

LogMetric = Callable[[str, float], None]
RewardFunction = Callable[..., Sequence[float | None]]
MAX_SCORE = 4.0
BELOW_FLOOR = 2.0
"""Standard deviations that a title just below a floor costs; at 1 policies stayed below the logged titles' fluency."""
MONITOR = "monitor"


Scorer = Callable[[Sequence[Item], Sequence[str]], Prediction]


@dataclass(frozen=True)
class LiftScale:
    """Puts rewards of all items on one scale: relative to the item's baseline, and standardised over SFT titles.

    It is fitted on the rewards that are optimised, caution included: a reward model that is unsure of every title
    would otherwise push all scores to one end of the scale, where they are cut off.

    Parameters
    ----------
    baseline
        Reward that the item earns anyway, shape (n_items,), > 0.
    spread
        Standard deviation of the relative lift over the SFT policy's titles.
    center
        Its mean over them.
    """

    baseline: FloatArray
    spread: float
    center: float = 0.0

    @classmethod
    def fit(cls, baseline: FloatArray, item_index: IntArray, rewards: FloatArray) -> "LiftScale":
        """From baselines (n_items,) and the ``rewards`` (n,) of SFT titles for the items ``item_index`` (n,)."""
        baseline = np.maximum(baseline, 1e-12)
        lift = rewards / baseline[item_index] - 1.0
        return cls(baseline, max(float(lift.std()), 1e-6), float(lift.mean()))

    def score(self, item_index: IntArray, reward: FloatArray) -> FloatArray:
        """(reward / baseline - 1 - center) / spread, held within +-`MAX_SCORE`, shape (n,)."""
        lift = reward / self.baseline[item_index] - 1.0
        return np.clip((lift - self.center) / self.spread, -MAX_SCORE, MAX_SCORE)


@dataclass(frozen=True)
class Monitor:
    """A second reward model, fitted on items the optimised one has not seen: logged, never optimised.

    Parameters
    ----------
    scorer
        Its ``predict``.
    baseline
        Reward that it predicts for each item anyway, shape (n_items,), > 0.
    every
        Updates between two looks.
    """

    scorer: Scorer
    baseline: FloatArray
    every: int


@dataclass(frozen=True)
class TitleRewards:
    """Scores of titles, in the form that trl asks for and in the form the critic does.

    Parameters
    ----------
    items
        The dataset's ``item_index`` column points into it.
    renderer
        Turns completions into titles.
    scorer
        The reward model's ``predict``.
    scale
        Makes cautious rewards of different items comparable.
    constraints
        Each kind of violation costs one standard deviation.
    risk_aversion
        Of `reward.model.caution.cautious_reward`.
    eos_token_id
        A completion without it is unfinished, which is a violation too.
    monitor
        Watches the titles with weight 0.
    belonging
        A title below the floor of relevance, or of fluency, costs `BELOW_FLOOR` standard deviations and up to twice
        that (`reward.belonging.belonging.Belongs.shortfall`); None: it is not looked at.
    """

    items: Sequence[Item]
    renderer: Renderer
    scorer: Scorer
    scale: LiftScale
    constraints: Constraints
    risk_aversion: float
    eos_token_id: int
    monitor: Monitor | None = None
    belonging: Belonging | None = None

    def functions(self) -> list[RewardFunction]:
        """``lift``, ``constraints`` and ``belonging``, which the trainer sums; ``monitor`` is for weight 0."""

        def lift(**batch: Any) -> list[float]:
            return self._lift(**batch)

        def constraints(**batch: Any) -> list[float]:
            return self._constraints(**batch)

        def monitor(**batch: Any) -> list[float | None]:
            return self._monitor(**batch)

        def belonging(**batch: Any) -> list[float]:
            return self._belonging(**batch)

        monitor.__name__ = MONITOR
        found: list[RewardFunction] = [lift, constraints]
        found += [belonging] if self.belonging is not None else []
        return found if self.monitor is None else [*found, monitor]

    def so_far(self, item_index: Sequence[int], completions: Sequence[str]) -> FloatArray:
        """Score of unfinished titles, shape (n,): what `functions` would give for them as they stand.

        Without belonging: half a title is neither fluent nor clear about its item.
        """
        shop, titles = self._titles(item_index, completions)
        kinds = [{v.kind for v in self.constraints.check(i, t)} for i, t in zip(shop, titles, strict=True)]
        violations = np.array([len(found) for found in kinds], dtype=np.float64)
        return self._score(np.asarray(item_index), self.scorer(shop, titles)) - violations

    def _titles(self, item_index: Sequence[int], completions: Sequence[str]) -> tuple[list[Item], list[str]]:
        shop = [self.items[i] for i in item_index]
        return shop, [self.renderer.title(item, text) for item, text in zip(shop, completions, strict=True)]

    def _score(self, item_index: IntArray, predicted: Prediction) -> FloatArray:
        return self.scale.score(item_index, cautious_reward(predicted, self.risk_aversion))

    def _lift(self, completions: list[str], item_index: list[int], log_metric: LogMetric, **_: Any) -> list[float]:
        shop, titles = self._titles(item_index, completions)
        predicted = self.scorer(shop, titles)
        index = np.asarray(item_index)
        log_metric("objective/predicted_lift", float((predicted.reward / self.scale.baseline[index] - 1.0).mean()))
        log_metric("objective/effect_std", float(predicted.effect_std.mean()))
        return [float(score) for score in self._score(index, predicted)]

    def _monitor(
        self, completions: list[str], item_index: list[int], log_metric: LogMetric, trainer_state: Any, **_: Any
    ) -> list[float | None]:
        """Lift of each title by the monitor's own lights; nothing between two looks."""
        monitor = self.monitor
        if monitor is None or trainer_state.global_step % monitor.every:
            return [None] * len(completions)
        shop, titles = self._titles(item_index, completions)
        lift = monitor.scorer(shop, titles).reward / monitor.baseline[np.asarray(item_index)] - 1.0
        log_metric("monitor/lift", float(lift.mean()))
        log_metric("monitor/std", spread_of_items(lift, np.asarray(item_index)))
        return [float(value) for value in lift]

    def _constraints(
        self,
        completions: list[str],
        completion_ids: list[list[int]],
        item_index: list[int],
        log_metric: LogMetric,
        **_: Any,
    ) -> list[float]:
        shop, titles = self._titles(item_index, completions)
        counts: Counter[str] = Counter()
        penalties = []
        for item, title, ids in zip(shop, titles, completion_ids, strict=True):
            kinds = {violation.kind for violation in self.constraints.check(item, title)}
            if self.eos_token_id not in ids:
                kinds.add("unfinished")
            counts.update(kinds)
            penalties.append(-float(len(kinds)))
        log_metric("constraints/violated", float(np.mean([penalty < 0 for penalty in penalties])))
        for kind in (*RULES, "unfinished"):  # those that nothing broke too: means are taken over steps and processes
            log_metric(f"constraints/{kind}", counts[kind] / len(completions))
        return penalties

    def _belonging(self, completions: list[str], item_index: list[int], log_metric: LogMetric, **_: Any) -> list[float]:
        """Penalty of each title for low relevance and fluency: 0 at and above both floors."""
        if self.belonging is None:
            return [0.0] * len(completions)
        found = self.belonging.predict(*self._titles(item_index, completions))
        for name, score in ((RELEVANCE, found.relevance), (FLUENCY, found.fluency)):
            log_metric(f"belonging/{name}", float(score.score.mean()))
            log_metric(f"belonging/{name}_below", float(score.faulty.mean()))
        return [-BELOW_FLOOR * float(short) for short in found.shortfall]


def spread_of_items(values: FloatArray, item: IntArray) -> float:
    """The number whose quotient by sqrt(n) is the standard error of the mean of ``values``, shape (n,).

    Titles of one item go together, so that the error is that of the items' means; where all titles are of one item,
    nothing tells it, and they count as one title.
    """
    _, place, count = np.unique(item, return_inverse=True, return_counts=True)
    n_items = len(count)
    if n_items == 1:
        return float(values.std() * np.sqrt(len(values)))
    sums = np.bincount(place, values) / (len(values) / n_items)  # each item by its share of the titles
    return float(sums.std(ddof=1) * np.sqrt(len(values) / n_items))
