"""Examples for SFT and their weights: titles of the train items' logs, or better titles than current ones."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.model.baseline import beta_strength
from reward.model.reward_model import RewardModel
from reward.text import clean
from rlopt.errors import PolicyError
from rlopt.policy.sound_targets import Pairs

MAX_TITLES_AN_ITEM = 8
MAX_HELD_OUT = 512  # titles: more would cost time at every checkpoint and change little
CONFIDENCE = 0.8  # chance of being better at which a title is a target for another one
MAX_WEIGHT = 5.0


@dataclass(frozen=True)
class Lesson:
    """Examples to learn from, and those that are held out; no item is in both."""

    pairs: Pairs
    held_out: Pairs


def logged_pairs(arms: Arms) -> Pairs:
    """(item, title) pairs to learn from: each item's most shown titles, at most `MAX_TITLES_AN_ITEM`."""
    order = np.lexsort((arms.title.astype(str), -arms.impressions, arms.item_index))
    taken: dict[int, int] = {}
    pairs: Pairs = []
    for row in order:
        index = int(arms.item_index[row])
        title = clean(str(arms.title[row]))
        if title and taken.get(index, 0) < MAX_TITLES_AN_ITEM:
            taken[index] = taken.get(index, 0) + 1
            pairs.append((arms.items[index], title))
    return pairs


@dataclass(frozen=True)
class TitleRates:
    """Posterior of each title's click rate given the logs: mean and variance, shape (n_arms,) each."""

    rate: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, arms: Arms, overdispersion: float) -> "TitleRates":
        """Each arm's CTR, shrunken to its item's.

        Beta-binomial around the item's rate m: an arm has p ~ Beta(s m, s (1 - m)), with s from the moments of the
        counts (`reward.model.baseline.beta_strength`), and its clicks count 1 / ``overdispersion`` each. The reward
        model's prediction is no part of it: it was fitted on the same clicks, and PPO goes by it later. What the
        logs showed is evidence of its own.
        """
        n_items = len(arms.items)
        clicks, trials = (
            np.bincount(arms.item_index, weights=x, minlength=n_items) for x in (arms.clicks, arms.exposure)
        )
        item_rate = ((clicks + 0.5) / (trials + 1.0))[arms.item_index]
        mean = np.clip(item_rate, 1e-6, 1 - 1e-6)
        strength = beta_strength(arms.clicks, arms.exposure, mean, overdispersion)
        total = arms.exposure / overdispersion + strength
        rate = np.clip((arms.clicks / overdispersion + strength * mean) / total, 1e-9, 1 - 1e-9)
        return cls(rate, rate * (1 - rate) / (total + 1.0))

    def better(self, best: int, other: int) -> float:
        """Chance that arm ``best`` has a higher rate than arm ``other``, both taken as independent and normal."""
        spread = float(np.sqrt(self.variance[best] + self.variance[other]))
        return float(norm.cdf((self.rate[best] - self.rate[other]) / spread))


def best_pairs(arms: Arms, rates: TitleRates) -> Pairs:
    """Each item with its best-evidenced title."""
    return [(arms.items[item], clean(str(arms.title[row]))) for item, row in sorted(_best(arms, rates).items())]


def improvement_pairs(arms: Arms, rates: TitleRates) -> Pairs:
    """(item with a current title, better title) pairs.

    The target is the item's best-evidenced title. It is asked for once for each other title that it beats with a
    chance of `CONFIDENCE`, which the item then has as its current one, and once for the item without any.

    Raises
    ------
    PolicyError
        If no title is better than another with that chance.
    """
    best = _best(arms, rates)
    order = np.lexsort((arms.title.astype(str), -arms.impressions, arms.item_index))
    worse: dict[int, list[str]] = {}
    for row in order:
        index = int(arms.item_index[row])
        title = clean(str(arms.title[row]))
        found = worse.setdefault(index, [])
        if title and len(found) < MAX_TITLES_AN_ITEM and rates.better(best[index], int(row)) >= CONFIDENCE:
            found.append(title)
    pairs: Pairs = []
    for index, titles in worse.items():
        target = clean(str(arms.title[best[index]]))
        if titles and target:
            item = arms.items[index]
            pairs += [(replace(item, current_title=current), target) for current in [*titles, None]]
    if not pairs:
        raise PolicyError(
            f"No train item has a title that beats another one with a chance of {CONFIDENCE:.0%}, so --task optimize "
            "has nothing to learn. Give fit-reward more logs, or take --task generate."
        )
    return pairs


def _best(arms: Arms, rates: TitleRates) -> dict[int, int]:
    """Item -> its arm with the highest posterior mean."""
    order = np.lexsort((arms.title.astype(str), -rates.rate, arms.item_index))
    found: dict[int, int] = {}
    for row in order:
        found.setdefault(int(arms.item_index[row]), int(row))
    return found


def hold_out(pairs: Pairs, share: float, seed: int) -> Lesson:
    """All titles of a random ``share`` of the items are held out, at least those of one item and never all."""
    items = list(dict.fromkeys(item.item_id for item, _ in pairs))
    if len(items) < 2:
        return Lesson(pairs, [])
    rng = np.random.default_rng(seed)
    number = min(max(1, round(share * len(items))), len(items) - 1)
    watched = {items[i] for i in rng.permutation(len(items))[:number]}
    held_out = [pair for pair in pairs if pair[0].item_id in watched]
    chosen = np.sort(rng.permutation(len(held_out))[:MAX_HELD_OUT])
    return Lesson([pair for pair in pairs if pair[0].item_id not in watched], [held_out[i] for i in chosen])


def reward_weights(model: RewardModel, arms: Arms, pairs: Pairs) -> FloatArray:
    """Weight of each pair in the loss by the reward model, shape (n,), mean 1.

    w = exp(a / sd(a)), at most `MAX_WEIGHT`, over the mean of all, where a is the title's effect on the log-odds of a
    click less the mean effect of the item's logged titles: reward-weighted regression (Peters and Schaal 2007) with
    the advantage for the reward (Peng et al. 2019, "Advantage-weighted regression") and its own spread for the
    temperature. Differences between items do not count.
    """
    logged = model.predict(arms.arm_items, list(map(str, arms.title))).effect
    shown = np.bincount(arms.item_index, minlength=len(arms.items))
    mean = np.bincount(arms.item_index, weights=logged, minlength=len(arms.items)) / np.maximum(shown, 1)
    place = {item.item_id: index for index, item in enumerate(arms.items)}
    effect = model.predict([item for item, _ in pairs], [title for _, title in pairs]).effect
    # An effect of 0 is the mean of the logged titles; so it is for an item that has none.
    usual = [mean[place[item.item_id]] if item.item_id in place else 0.0 for item, _ in pairs]
    advantage = effect - np.array(usual)
    spread = float(advantage.std())
    if spread <= 0:
        return np.ones(len(pairs))
    weights: FloatArray = np.minimum(np.exp(advantage / spread), MAX_WEIGHT)
    weights /= weights.mean()
    return weights
