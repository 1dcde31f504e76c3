"""Lifts by the judge: over the baselines, by segment, and of what comes after the click."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray, IntArray
from rlopt.errors import EvaluationError
from rlopt.ope.direct import LiftEstimate, TitleDraws, estimate_lift, item_rate_draws
from rlopt.ope.guardrails import Guardrails, outcome_lift, rate_slope, violation_shares
from rlopt.ope.segments import MISSING, REST, Segment, group_items, segment_lifts
from rlopt.ope.sensitivity import with_unseen_cause
from rlopt.stages.common.evaluated import Evaluated
from rlopt.stages.offline_eval.case import Case

FIELDS_BY_DEFAULT, NAMED_SHARE = 3, 0.8


@dataclass(frozen=True)
class Lifting:
    """Parts that every lift of one evaluation shares.

    Parameters
    ----------
    case
        Case to evaluate.
    item_rate
        Draws of the items' logged CTR, shape (n_draws, n_items), times each item's weight in the lift that decides.
    other_rate
        The same with items weighted the other way: equally where traffic decides, and the reverse.
    widening
        kappa of the hidden-arm test.
    confidence
        Coverage of the intervals.
    unseen
        Strength of the unseen cause that limits allow for, `rlopt.ope.sensitivity.with_unseen_cause`; 1: none.
    """

    case: Case
    item_rate: FloatArray
    other_rate: FloatArray
    widening: float
    confidence: float
    unseen: float = 1.0

    @classmethod
    def of(
        cls, case: Case, random: np.random.Generator, widening: float, candidates: int = 1, unseen: float = 1.0
    ) -> "Lifting":
        """With the items' click rates drawn; intervals of several candidates hold simultaneously (Bonferroni)."""
        test, config = case.test, case.config
        sums = (item_sums(v, test.item_index, len(test.items)) for v in (test.clicks, test.exposure, test.impressions))
        clicks, exposure, impressions = sums
        rate = item_rate_draws(clicks, exposure, config.draws, random)
        by_traffic = rate * (impressions / impressions.mean())
        main, other = (by_traffic, rate) if config.weight == "traffic" else (rate, by_traffic)
        return cls(case, main, other, widening, 1 - (1 - config.confidence) / candidates, unseen)

    @property
    def logged(self) -> TitleDraws:
        """The logged titles, as often as they were shown."""
        return self.case.logged.title_draws(share=self.case.test.exposure)

    def over_logged(self) -> dict[str, LiftEstimate]:
        """Lift over the logged titles of each policy."""
        evaluated = self.case.evaluated.items()
        return {name: self._lift(titles, None, self.item_rate) for name, titles in evaluated if name != "logged"}

    def over_sft(self) -> LiftEstimate | None:
        """Lift of the evaluated policy over the SFT policy; None without one to compare with."""
        return None if self.case.sft is None else self._lift(self.case.mine, self.case.sft, self.item_rate)

    def other_lifts(self) -> dict[str, LiftEstimate]:
        """Lifts of the evaluated policy over the baselines, with items weighted the other way."""
        mine, sft = self.case.mine, self.case.sft
        over = {"logged": self._lift(mine, None, self.other_rate)}
        return over if sft is None else {**over, "sft": self._lift(mine, sft, self.other_rate)}

    def _lift(self, titles: Evaluated, baseline: Evaluated | None, item_rate: FloatArray) -> LiftEstimate:
        logged = self.logged
        lift = estimate_lift(
            titles.title_draws(),
            baseline.title_draws() if baseline else logged,
            logged,
            item_rate,
            rng=np.random.default_rng(self.case.config.seed),
            confidence=self.confidence,
            widening=self.widening,
        )
        return with_unseen_cause(lift, self.unseen)

    def segments(self) -> tuple[Segment, ...]:
        """Lift of the evaluated policy over the logged titles in the segments of every field of ``config.by``.

        Without any, of the fields that divide the items best.
        """
        groups: dict[tuple[str, str], IntArray] = {}
        for column in self.case.config.by or dividing_fields(self.case.test):
            groups |= items_by(self.case.test, column)
        found = segment_lifts(
            self.case.mine.title_draws(),
            self.logged,
            self.item_rate,
            groups,
            rng=np.random.default_rng(self.case.config.seed),
            confidence=self.confidence,
            widening=self.widening,
        )
        return tuple(with_unseen_cause(segment, self.unseen) for segment in found)

    def guardrails(self) -> Guardrails:
        """Conversions and revenue against the logged titles, where the logs have them, and broken rules."""
        violations, share = violation_shares(list(self.case.mine.violations))
        return Guardrails(self._outcome(None), self._revenue(), violations, share)

    def _revenue(self) -> LiftEstimate | None:
        test = self.case.test
        if test.revenue is None or test.conversions is None or not test.conversions.sum() or not test.revenue.sum() > 0:
            return None
        n_items = len(test.items)
        revenue, conversions = (item_sums(v, test.item_index, n_items) for v in (test.revenue, test.conversions))
        mean = float(revenue.sum() / conversions.sum())
        return self._outcome(np.maximum(revenue + mean, 0.0) / (conversions + 1.0))  # drawn to the mean by one sale

    def _outcome(self, item_worth: FloatArray | None) -> LiftEstimate | None:
        new, logged = self.case.mine, self.case.logged
        if new.p_conversion is None or logged.p_conversion is None:
            return None
        new_rate, logged_rate = (np.maximum(rate, 1e-12) for rate in (new.p_conversion, logged.p_conversion))
        test = self.case.test
        conversions = np.zeros(len(test)) if test.conversions is None else test.conversions
        clicks = test.clicks if test.matured_clicks is None else test.matured_clicks
        lift = outcome_lift(
            new.title_draws(),
            self.logged,
            new_rate,
            logged_rate,
            self.item_rate,
            rate_slope(conversions, clicks, np.log(logged_rate), test.item_index),
            item_worth,
            rng=np.random.default_rng(self.case.config.seed),
            confidence=self.confidence,
            widening=self.widening,
        )
        return with_unseen_cause(lift, self.unseen)


def item_sums(values: FloatArray, item: IntArray, n_items: int) -> FloatArray:
    """Sums over each item's arms or titles, shape (n_items,)."""
    return np.bincount(item, weights=values, minlength=n_items).astype(np.float64)


def items_by(test: Arms, column: str) -> dict[tuple[str, str], IntArray]:
    """(field, value) -> positions of the test items, see `rlopt.ope.segments.group_items`."""
    return group_items(column, [next(iter(item.fields.get(column, ())), None) for item in test.items])


def dividing_fields(test: Arms) -> tuple[str, ...]:
    """At most three fields by which nearly every item falls into one of a few groups, the fewest groups first."""
    found = []
    for column in sorted({name for item in test.items for name in item.fields}):
        groups = items_by(test, column)
        named = sum(len(items) for (_, value), items in groups.items() if value not in (REST, MISSING))
        if len(groups) > 1 and named >= NAMED_SHARE * len(test.items):
            found.append((len(groups), column))
    return tuple(column for _, column in sorted(found)[:FIELDS_BY_DEFAULT])


def check_segments(test: Arms, by: Sequence[str]) -> None:
    """Check that test items have the fields to segment by.

    Raises
    ------
    EvaluationError
        None of them has such a field.
    """
    fields = {name for item in test.items for name in item.fields}
    for column in by:
        if column not in fields:
            near = get_close_matches(column, fields, n=1)
            known = ", ".join(sorted(fields)) or "none"
            hint = f"Did you mean '{near[0]}'?" if near else f"Items have: {known}."
            raise EvaluationError(f"There is no item field '{column}' to segment by (--by). {hint}")
