"""Choice among the written titles of an item: sound ones, the best by reward, the current one where none beats it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import norm

from reward.arrays import FloatArray
from reward.belonging.belonging import FLUENCY, RELEVANCE
from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.reward_model import RewardPrediction
from rlopt.policy.constraints import Violation
from rlopt.stages.generate.portfolio import by_worth
from rlopt.stages.generate.proposals import MUTE, Means, Proposal, Proposals, Shop, described, propose

PASSES = 4  # attempts at a title that no other item of the shop got meanwhile
NOT_BETTER = "no title is predicted better with confidence"
BY_RULES = "title keeps the rules"  # in the reasons of rows that the rules left without a new title
TAKEN = "other items have the better titles"
APPROVED = "people approved it"  # of rows whose title stands


@dataclass(frozen=True)
class Choice:
    """One title of one item; ``title`` is None where no sound one was found.

    Parameters
    ----------
    log_prob
        In nats under the policy, None where it did not write the title.
    reward, reward_std, support
        Prediction of the reward model (`reward.model.reward_model.RewardPrediction`), None without a title or reward.
    relevance, fluency
        Scores of belonging to its item and reading like a title (`reward.belonging`), None where not known.
    kept
        True where it is the item's current title.
    reason
        Reason why the current title was kept, or why there is none.
    report
        The constraint report: what broke a rule ("kind: detail"), of a kept current title or of the refused ones; of a
        new title what speaks against its belonging.
    """

    item: Item
    title: str | None
    log_prob: float | None = None
    finished: bool = True
    reward: float | None = None
    reward_std: float | None = None
    support: float | None = None
    relevance: float | None = None
    fluency: float | None = None
    kept: bool = False
    reason: str | None = None
    report: tuple[str, ...] = ()


def choose_titles(
    items: Sequence[Item],
    means: Means,
    shop: Shop,
    seed: int,
    passes: int = PASSES,
    counts: Sequence[int] | None = None,
) -> list[list[Choice]]:
    """``counts`` choices an item (None: ``config.n`` of each), best first; ``shop`` remembers them.

    Items whose titles went to others of the same call are tried again, in up to ``passes`` passes. With one title an
    item, its current title stays unless one that is better with confidence is free; one that breaks a rule gives way to
    the best that keeps them all. A title that does not belong to its item comes after all that do, the current one
    included.
    """
    counts = counts or [means.config.n] * len(items)
    found = [_usable(one, item, means) for one, item in zip(propose(items, means, shop, seed), items, strict=True)]
    thought = _Thought.of(items, found, means)
    out: list[list[Choice]] = []
    for place, (item, one, n) in enumerate(zip(items, found, counts, strict=True)):
        best, refused, fallback = thought.ranked(place, n), tuple(one.refused), None
        if place in thought.current:
            best, fallback = thought.against_current(place, best, refused, last_pass=passes == 1)
        choices = [thought.choice(item, row) for row in best]
        out.append(_given_out(choices, item, n, shop, refused, fallback))
    few = [i for i, choices in enumerate(out) if any(choice.title is None for choice in choices)]
    short = [i for i in few if found[i].sound or found[i].apart]
    if short and passes > 1:
        kept = {i: [choice for choice in out[i] if choice.title is not None] for i in short}
        lacking = [counts[i] - len(kept[i]) for i in short]
        again = choose_titles([items[i] for i in short], means, shop, seed + 7919, passes - 1, lacking)
        for i, choices in zip(short, again, strict=True):
            out[i] = _best_first([*kept[i], *choices])
    return out


@dataclass(frozen=True)
class _Thought:
    """Scores of the titles that were written for some items, and of current ones that may stay.

    Parameters
    ----------
    written, rows
        All proposals, item by item; the rows of each item's sound ones, and of those that do not belong to it.
    texts, predicted, value
        Of the proposals, then of the current titles; ``value`` is what proposals are ranked by.
    current
        Place of an item -> row of its current title in `texts`, and the title as it would stay.
    """

    means: Means
    written: list[Proposal]
    rows: list[tuple[range, range]]
    texts: list[str]
    predicted: RewardPrediction
    value: FloatArray
    current: dict[int, tuple[int, Choice]]

    @classmethod
    def of(cls, items: Sequence[Item], found: Sequence[Proposals], means: Means) -> "_Thought":
        owners = [item for item, one in zip(items, found, strict=True) for _ in (*one.sound, *one.apart)]
        written = [proposal for one in found for proposal in (*one.sound, *one.apart)]
        rows, start = [], 0
        for one in found:
            end = start + len(one.sound)
            rows.append((range(start, end), range(end, end + len(one.apart))))
            start = end + len(one.apart)
        places = [i for i, item in enumerate(items) if means.config.n == 1 and _has_current(item, means)]
        stays = [items[i] for i in places]
        texts = [proposal.written.text for proposal in written] + [str(item.current_title) for item in stays]
        predicted = means.model.predict([*owners, *stays], texts)
        value = cautious_reward(predicted, means.config.risk_aversion)
        kept = enumerate(zip(places, _as_chosen(stays, means), strict=True), start=len(written))
        return cls(means, written, rows, texts, predicted, value, {place: (row, one) for row, (place, one) in kept})

    def ranked(self, place: int, n: int) -> list[int]:
        """Rows of an item's proposals, the best first, those that do not belong to it after all that do."""
        sound, apart = self.rows[place]
        first = _by_value(sound, self.value)
        if self.means.config.diverse and n > 1:
            first = by_worth(sound, self.texts, self.predicted, self.means.slope, n)
        return [*first, *_by_value(apart, self.value)]

    def against_current(
        self, place: int, best: list[int], refused: tuple[str, ...], *, last_pass: bool
    ) -> tuple[list[int], Choice | None]:
        """Rows of ``best`` that beat the current title, and the choice of that title where it may have to stay.

        Before the last pass, an item whose better titles go to others tries again.
        """
        now, current = self.current[place]
        candidates, broken = bool(best), self.means.rules.check(current.item, self.texts[now])
        if _may_stay(broken):
            effects = self.predicted.effect, self.predicted.effect_std
            best = [row for row in best if _better(*effects, row, now, self.means.config.confidence)]
        if best and not last_pass:
            return best, None
        return best, replace(_told(current, broken, bool(best), candidates, refused), **self._figures(now))

    def choice(self, item: Item, row: int) -> Choice:
        """A proposal as what the item gets."""
        one = self.written[row]
        return Choice(
            item,
            one.written.text,
            one.written.log_prob,
            one.written.finished,
            **self._figures(row),
            relevance=one.relevance,
            fluency=one.fluency,
            report=one.against,
        )

    def _figures(self, row: int) -> dict[str, Any]:
        return {name: known(getattr(self.predicted, name)[row]) for name in ("reward", "reward_std", "support")}


def settle(
    chosen: Sequence[Sequence[Choice]], items: Sequence[Item], means: Means, shop: Shop, seed: int
) -> list[list[Choice]]:
    """The choices where ``shop`` has none of their titles yet, other titles for the items where it has.

    ``chosen`` was written by `choose_titles` without knowing the shop, in another process perhaps; after this no two
    items have the same words, and the result is the same whoever wrote it.
    """
    out = [[one for one in choices if _stands(one) or shop.take(str(one.title)) or one.kept] for choices in chosen]
    lost = [i for i, choices in enumerate(chosen) if len(out[i]) < len(choices)]
    if lost:
        lacking = [len(chosen[i]) - len(out[i]) for i in lost]
        shop.stopped["near_duplicate"] += sum(lacking)
        again = choose_titles([items[i] for i in lost], means, shop, seed, counts=lacking)
        for i, choices in zip(lost, again, strict=True):
            out[i] = _best_first([*out[i], *choices])
    return out


def _stands(choice: Choice) -> bool:
    """True if a choice is settled whatever other items have."""
    return choice.title is None or choice.reason == APPROVED


def _best_first(choices: Sequence[Choice]) -> list[Choice]:
    """Sort by predicted reward, as far as there is one; those without a title last."""
    return sorted(choices, key=lambda one: (one.title is None, -(one.reward or 0.0)))


def known(value: float) -> float | None:
    """Replace NaN by None: `rlopt.stages.generate.proposals.NoReward` predicts NaN for every title."""
    return None if np.isnan(value) else float(value)


def _usable(one: Proposals, item: Item, means: Means) -> Proposals:
    """The proposals without those that do not belong, where enough others do or the current title may stay."""
    n = means.config.n
    lacking = len(one.sound) < n and not (n == 1 and _has_current(item, means))
    return one if lacking else replace(one, apart=[])


def _by_value(rows: range, value: FloatArray) -> list[int]:
    """The rows, the most valuable first."""
    return [rows.start + int(row) for row in np.argsort(-value[rows.start : rows.stop], kind="stable")]


def _as_chosen(items: Sequence[Item], means: Means) -> list[Choice]:
    """The items' current titles with their scores of belonging."""
    titles = [str(item.current_title) for item in items]
    if means.belonging is None:
        return [Choice(item, title, kept=True) for item, title in zip(items, titles, strict=True)]
    thought = means.belonging.predict(items, titles)
    return [
        Choice(item, title, relevance=thought.score(RELEVANCE, row), fluency=thought.score(FLUENCY, row), kept=True)
        for row, (item, title) in enumerate(zip(items, titles, strict=True))
    ]


def _has_current(item: Item, means: Means) -> bool:
    """True if the item has a title that may stay: people did not refuse it."""
    title = item.current_title
    return means.config.keep_current and bool(title) and not means.reviews.refuses(item.item_id, str(title))


def _may_stay(broken: Sequence[Violation]) -> bool:
    """True if a current title breaks no rule, claims apart: people's titles may rightly say what no field does."""
    return all(violation.kind == "unsupported" for violation in broken)


def _better(
    effect: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    std: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    new: int,
    old: int,
    confidence: float,
) -> bool:
    """True if the new title is better with this chance, the two effects taken as independent and normal."""
    spread = float(np.hypot(std[new], std[old]))
    return float(effect[new] - effect[old]) > spread * float(norm.ppf(confidence))


def _told(
    current: Choice, broken: Sequence[Violation], better: bool, candidates: bool, refused: tuple[str, ...]
) -> Choice:
    """The current title with the reason why it stays."""
    lacking = NOT_BETTER if candidates else f"no new {BY_RULES} ({'; '.join(refused[:3])})"
    reason = TAKEN if better else lacking
    return replace(current, reason=reason, report=tuple(described(broken)))


def _given_out(
    choices: list[Choice], item: Item, n: int, shop: Shop, refused: tuple[str, ...], fallback: Choice | None
) -> list[Choice]:
    """The first ``n`` choices that no other item of the shop has, or ``fallback``; marks missing ones as such."""
    given: list[Choice] = []
    for choice in choices:
        if len(given) == n:
            break
        if shop.take(str(choice.title)):
            given.append(choice)
        else:
            shop.stopped["near_duplicate"] += 1
            refused = (*refused, "near_duplicate: another item has the same words")
    if fallback is not None and not given:
        shop.take(str(fallback.title))
        given.append(fallback)
    reason = MUTE if MUTE in refused else f"no further {BY_RULES}"
    missing = Choice(item, None, reason=reason, report=refused[:5])
    return given + [replace(missing)] * (n - len(given))
