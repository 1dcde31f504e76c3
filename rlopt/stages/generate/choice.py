"""Which of the written titles an item gets: sound ones, the best by reward, the current one where none beats it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from reward.arrays import FloatArray
from reward.belonging.belonging import FLUENCY, RELEVANCE
from reward.items import Item
from reward.model.caution import cautious_reward
from rlopt.policy.constraints import Violation
from rlopt.stages.generate.portfolio import by_worth
from rlopt.stages.generate.proposals import MUTE, Means, Proposals, Shop, described, propose

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
        Whether it belongs to its item and reads like a title (`reward.belonging`), None where that is not known.
    kept
        True where it is the item's current title.
    reason
        Why the current title was kept, or why there is none.
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
    config = means.config
    counts = counts or [config.n] * len(items)
    found = [_usable(one, item, means) for one, item in zip(propose(items, means, shop, seed), items, strict=True)]
    owners = [item for item, one in zip(items, found, strict=True) for _ in (*one.sound, *one.apart)]
    written = [proposal for one in found for proposal in (*one.sound, *one.apart)]
    stays = [item for item in items if config.n == 1 and _has_current(item, means)]
    texts = [proposal.written.text for proposal in written] + [str(item.current_title) for item in stays]
    predicted = means.model.predict([*owners, *stays], texts)
    value = cautious_reward(predicted, config.risk_aversion)
    current = _as_chosen(stays, means)
    out: list[list[Choice]] = []
    start, now = 0, len(written)
    for item, one, n in zip(items, found, counts, strict=True):
        end = start + len(one.sound)
        last = end + len(one.apart)
        best = [*_by_value(start, end, value), *_by_value(end, last, value)]
        if config.diverse and n > 1:
            best[: end - start] = by_worth(range(start, end), texts, predicted, means.slope, n)
        start = last
        refused, fallback = tuple(one.refused), None
        if config.n == 1 and _has_current(item, means):
            candidates, broken = bool(best), means.rules.check(item, str(item.current_title))
            if _may_stay(broken):
                effects = predicted.effect, predicted.effect_std
                best = [row for row in best if _better(*effects, row, now, config.confidence)]
            if not best or passes == 1:  # before the last pass, one whose better titles went to others tries again
                fallback = replace(
                    _told(current[now - len(written)], broken, bool(best), candidates, refused),
                    reward=known(predicted.reward[now]),
                    reward_std=known(predicted.reward_std[now]),
                    support=known(predicted.support[now]),
                )
            now += 1
        choices = [
            Choice(
                item,
                written[row].written.text,
                written[row].written.log_prob,
                written[row].written.finished,
                known(predicted.reward[row]),
                known(predicted.reward_std[row]),
                known(predicted.support[row]),
                written[row].relevance,
                written[row].fluency,
                report=written[row].against,
            )
            for row in best
        ]
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
    """Whether a choice is settled whatever other items have."""
    return choice.title is None or choice.reason == APPROVED


def _best_first(choices: Sequence[Choice]) -> list[Choice]:
    """By predicted reward, as far as there is one; those without a title last."""
    return sorted(choices, key=lambda one: (one.title is None, -(one.reward or 0.0)))


def known(value: float) -> float | None:
    """None for NaN, which `rlopt.stages.generate.proposals.NoReward` says of every title."""
    return None if np.isnan(value) else float(value)


def _usable(one: Proposals, item: Item, means: Means) -> Proposals:
    """The proposals without those that do not belong, where enough others do or the current title may stay."""
    n = means.config.n
    lacking = len(one.sound) < n and not (n == 1 and _has_current(item, means))
    return one if lacking else replace(one, apart=[])


def _by_value(start: int, stop: int, value: FloatArray) -> list[int]:
    """Rows from ``start`` to ``stop``, the most valuable first."""
    return [start + int(row) for row in np.argsort(-value[start:stop], kind="stable")]


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
    """Whether the item has a title that may stay: people did not refuse it."""
    title = item.current_title
    return means.config.keep_current and bool(title) and not means.reviews.refuses(item.item_id, str(title))


def _may_stay(broken: Sequence[Violation]) -> bool:
    """Whether a current title breaks no rule, claims apart: people's titles may say what no field does, rightly."""
    return all(violation.kind == "unsupported" for violation in broken)


def _better(
    effect: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    std: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    new: int,
    old: int,
    confidence: float,
) -> bool:
    """Whether the new title is better with this chance, the two effects taken as independent and normal."""
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
    """The first ``n`` choices that no other item of the shop has, or ``fallback``; what is missing is said to be."""
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
