"""The test items' logged clicks as rounds: for exact estimators where policy and logs overlap, else as cross-checks."""

from dataclasses import dataclass, field

import numpy as np

from reward.arrays import FloatArray
from reward.model.judge import Judge
from rlopt.ope.cross_checks import (
    CrossCheck,
    Kind,
    balancing_weight,
    cell_weight,
    cells,
    cross_check,
    directions,
    kernel_weight,
)
from rlopt.ope.crossfit import cross_fitted_rounds
from rlopt.ope.estimators import LoggedRounds
from rlopt.ope.weights import importance_weight
from rlopt.stages.offline_eval.case import Case
from rlopt.stages.offline_eval.lifts import item_sums


@dataclass(frozen=True)
class Clues:
    """Clues to a policy's value in logged clicks, whether it writes logged titles or similar ones.

    Parameters
    ----------
    case
        Case to evaluate.
    weight
        Exact importance weights of the arms, shape (n_arms,).
    kernel, balance, cell
        Weights of the arms by similarity, see `rlopt.ope.cross_checks`; each shape (n_arms,).
    covered
        Share of the policy's titles in cells that their item's logs have shown.
    """

    case: Case
    weight: FloatArray
    kernel: FloatArray
    balance: FloatArray
    cell: FloatArray
    covered: float
    _q: tuple[FloatArray, FloatArray] = field(repr=False)

    @classmethod
    def of(cls, case: Case, judge: Judge, log_prob: FloatArray) -> "Clues":
        """From the policy's titles and its log-probability of the logged ones, shape (n_arms,)."""
        test, written = case.test, case.mine.written
        items, arm_titles = list(test.items), list(map(str, test.title))
        mine = judge.vectors([items[i] for i in written.item], written.title)
        logged = judge.vectors(test.arm_items, arm_titles)
        kernel = kernel_weight(mine, written.item, logged, test.item_index, test.propensity)
        shown = test.impressions / test.impressions.sum()
        mine, logged = directions(mine, written.item, logged, test.item_index, shown)
        item_share = np.bincount(test.item_index, weights=shown, minlength=len(items))
        target = (item_share / np.bincount(written.item, minlength=len(items)))[written.item] @ mine
        my_cell, logged_cell = cells(mine, logged, case.config.seed)
        cell, covered = cell_weight(my_cell, written.item, logged_cell, test.item_index, test.propensity)
        return cls(
            case=case,
            weight=importance_weight(np.minimum(np.exp(log_prob), 1.0), test.propensity),
            kernel=kernel,
            balance=balancing_weight(logged, shown, target),
            cell=cell,
            covered=covered,
            _q=_factors(case),
        )

    def rounds(self, weight: FloatArray) -> LoggedRounds:
        """Rounds of the logged titles with these weights of theirs, and the judge as their model of the reward.

        q_policy is the judge's mean over the policy's own titles, whether logged or not, so doubly robust speaks for
        the whole policy: the model where nothing was logged, corrected by the clicks where something was. An item's
        appeal is cross-fitted: from other impressions than those it then corrects, drawn to the mean by one click.
        """
        test, (factor, policy_factor) = self.case.test, self._q
        n_items = len(test.items)
        click_rate = test.clicks.sum() / (test.exposure @ factor)

        def fit_predict(clicks: FloatArray, impressions: FloatArray) -> tuple[FloatArray, FloatArray]:
            exposure = test.exposure * impressions / test.impressions
            expected = item_sums(exposure * factor, test.item_index, n_items)
            appeal = (item_sums(clicks, test.item_index, n_items) + 1.0) / (expected + 1.0 / click_rate)
            return appeal[test.item_index] * factor, (appeal * policy_factor)[test.item_index]

        # Clicks weighted by propensities are effective ones, not whole, and dealt out to folds they are counted.
        clicks = np.rint(test.clicks)
        return cross_fitted_rounds(
            clicks,
            np.maximum(test.impressions, clicks),
            fit_predict,
            rng=np.random.default_rng(self.case.config.seed),
            unit=test.impressions / test.exposure,
            weight=weight,
            cluster=test.item_index,
            marginal_weight=self.cell,
        )

    def cross_checks(self) -> tuple[CrossCheck, ...]:
        """The judge on the logged impressions, and what their clicks say beside it."""
        kinds: tuple[tuple[Kind, FloatArray, float | None], ...] = (
            ("dm", self.kernel, None),
            ("kernel_dr", self.kernel, None),
            ("balanced_dr", self.balance, None),
            ("cells_dr", self.cell, self.covered),
            ("mips", self.cell, self.covered),
        )
        found = (cross_check(kind, self.rounds(w), self.case.config.confidence, covered) for kind, w, covered in kinds)
        return tuple(check for check in found if check is not None)


def _factors(case: Case) -> tuple[FloatArray, FloatArray]:
    """The judge's factor of each logged title (n_arms,), and the mean of each item's titles by the policy (n_items,).

    By the judge that has not seen the clicks that then correct it.
    """
    n_items, written = len(case.test.items), case.mine.written
    own = np.exp(case.mine.blind_effect)
    policy = item_sums(own, written.item, n_items) / np.bincount(written.item, minlength=n_items)
    return np.exp(case.logged.blind_effect), policy
