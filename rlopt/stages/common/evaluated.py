"""Titles with everything that is predicted about them, by the judge and by the reward model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray, IntArray
from reward.features.lexicon import KINDS
from reward.model.judge import Contrast, Judge
from reward.model.reward_model import RewardModel
from rlopt.ope.direct import TitleDraws
from rlopt.policy.constraints import Constraints, kinds
from rlopt.stages.common.titles import Written


@dataclass(frozen=True)
class Evaluated:
    """Titles with everything that is predicted about them; arrays of shape (n,), draws (n_draws, n).

    Parameters
    ----------
    written
        The titles.
    draws
        The judge's posterior draws of their effect on log CTR, once it has learned from the test items' logged arms.
    effect, effect_std
        Mean and standard deviation of the draws.
    blind_effect
        Mean effect by the judge that has not seen the test items' clicks, for estimators that correct it by these.
    support
        Similarity to titles the judge knows, in [0, 1].
    reward, reward_std
        Prediction of the reward model and its ensemble spread.
    reward_effect_std
        Uncertainty of the reward model about a title's effect alone, in nats of the click odds: `reward_std` without
        what is unsure about the item.
    unstated
        Claims of a title that its item does not state; None where no claims are checked.
    checked
        Kinds of claims that were looked for.
    violations
        Rules each title breaks.
    p_conversion
        P(conversion | click) by the reward model; None where the logs hold no conversions.
    """

    written: Written
    draws: FloatArray
    effect: FloatArray
    effect_std: FloatArray
    blind_effect: FloatArray
    support: FloatArray
    reward: FloatArray
    reward_std: FloatArray
    reward_effect_std: FloatArray
    unstated: tuple[tuple[str, ...], ...] | None
    checked: tuple[str, ...] = ()
    violations: tuple[tuple[str, ...], ...] = ()
    p_conversion: FloatArray | None = None

    @property
    def faithfulness(self) -> float | None:
        """Share of titles that say something, and nothing their item does not state."""
        if self.unstated is None:
            return None
        pairs = zip(self.written.title, self.unstated, strict=True)
        return float(np.mean([bool(title) and not words for title, words in pairs]))

    @property
    def promise_share(self) -> float:
        """Share of titles that promise what nothing of their item bears out."""
        return float(np.mean(["promise" in kinds for kinds in self.violations]))

    def title_draws(self, share: FloatArray | None = None, rows: IntArray | None = None) -> TitleDraws:
        """Draws for the lift; ``share`` as in `TitleDraws`, ``rows`` for some of the titles only."""
        if rows is None:
            return TitleDraws(self.draws, self.written.item, share)
        return TitleDraws(self.draws[:, rows], self.written.item[rows], share)


def evaluate_titles(
    groups: Sequence[Written],
    test: Arms,
    judge: Judge,
    model: RewardModel,
    constraints: Constraints,
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, Evaluated]:
    """Predictions for the titles of all policies, from the same posterior draws.

    ``judge`` has not seen the items of ``test``; what it says here, it says after it has learned from their arms.
    """
    owners = [test.items[i] for group in groups for i in group.item]
    titles = [title for group in groups for title in group.title]
    learned = judge.updated(test).unshrunk(contrasts(groups, test))
    draws = learned.draws(owners, titles, n_draws, rng)
    effect, effect_std = learned.effect(owners, titles)
    blind_effect = judge.mean_effect(owners, titles)
    support = judge.support(owners, titles)
    predicted = model.predict(owners, titles)
    out: dict[str, Evaluated] = {}
    start = 0
    for group in groups:
        part = slice(start, start + len(group))
        start += len(group)
        pairs = list(zip(owners[part], titles[part], strict=True))
        lexicon = constraints.lexicon
        unstated = None if lexicon is None else tuple(lexicon.unstated_words(*pair) for pair in pairs)
        out[group.policy] = Evaluated(
            group,
            draws[:, part],
            effect[part],
            effect_std[part],
            blind_effect[part],
            support[part],
            predicted.reward[part],
            predicted.reward_std[part],
            predicted.effect_std[part],
            unstated,
            () if lexicon is None else tuple(kind for kind in KINDS if kind in lexicon.kinds),
            tuple(
                (*kinds(constraints.check(*pair)), *([] if ended else ["unfinished"]))
                for pair, ended in zip(pairs, group.finished, strict=True)
            ),
            None if predicted.p_conversion is None else predicted.p_conversion[part],
        )
    return out


def contrasts(groups: Sequence[Written], test: Arms) -> list[Contrast]:
    """Differences of each policy's titles from the logged ones, an item counting by its clicks."""
    clicks = np.bincount(test.item_index, test.clicks, minlength=len(test.items)) + 1.0
    exposed = np.bincount(test.item_index, test.exposure, minlength=len(test.items))
    logged = -(clicks / exposed)[test.item_index] * test.exposure
    logged_items, logged_titles = test.arm_items, list(map(str, test.title))
    out = []
    for group in groups:
        if group.policy != "logged":
            own = (clicks / np.bincount(group.item, minlength=len(test.items)))[group.item]
            items = [*(test.items[i] for i in group.item), *logged_items]
            out.append(Contrast(items, [*group.title, *logged_titles], np.concatenate([own, logged])))
    return out
