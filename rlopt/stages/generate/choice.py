"""Which of the written titles an item gets: sound ones, the best by reward, the current one where none beats it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.reward_model import RewardModel
from rlopt.config import GenerateConfig
from rlopt.policy.constraints import Constraints, Violation, duplicate_key
from rlopt.policy.title_policy import GeneratedTitle, TitleWriter

ROUNDS = 6  # attempts at a sound title before the item goes without
REMEMBERED = 10_000  # hashes of titles that wait to be sorted in
PASSES = 4  # attempts at a title that no other item of the shop got meanwhile
NOT_BETTER = "no title is predicted better with confidence"
MUTE = "the item says nothing: it has neither fields nor a current title"
BY_RULES = "title keeps the rules"  # in the reasons of rows that the rules left without a new title
TAKEN = "other items have the better titles"


@dataclass(frozen=True)
class Choice:
    """One title of one item; ``title`` is None where no sound one was found.

    Parameters
    ----------
    log_prob
        In nats under the policy, None where it did not write the title.
    reward, reward_std, support
        Prediction of the reward model (`reward.model.reward_model.RewardPrediction`), None without a title.
    kept
        True where it is the item's current title.
    reason
        Why the current title was kept, or why there is none.
    report
        The constraint report: what broke a rule ("kind: detail"), of a kept current title or of the refused ones.
    """

    item: Item
    title: str | None
    log_prob: float | None = None
    finished: bool = True
    reward: float | None = None
    reward_std: float | None = None
    support: float | None = None
    kept: bool = False
    reason: str | None = None
    report: tuple[str, ...] = ()


@dataclass
class Shop:
    """What is remembered from one item to the next: titles in use, and how often each rule stopped one.

    Parameters
    ----------
    stopped
        Rule -> titles that it stopped, while they were written (``decoding ...``) or after.
    """

    stopped: Counter[str] = field(default_factory=Counter)
    _recent: set[int] = field(default_factory=set)
    _older: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))  # sorted

    def __contains__(self, key: int) -> bool:
        """Whether a title with this `title_hash` was given out."""
        if key in self._recent:
            return True
        place = int(np.searchsorted(self._older, np.uint64(key)))
        return place < len(self._older) and int(self._older[place]) == key

    def add(self, key: int) -> None:
        """Remember a title's `title_hash`, in eight bytes in the long run."""
        self._recent.add(key)
        if len(self._recent) == REMEMBERED:
            self._older = np.union1d(self._older, np.fromiter(self._recent, dtype=np.uint64))
            self._recent.clear()

    def take(self, title: str) -> bool:
        """Give out ``title``; False where a near-duplicate was given out before."""
        key = title_hash(title)
        if key in self:
            return False
        self.add(key)
        return True


@dataclass
class _Candidates:
    """Sound titles of one item, and why the others are not."""

    sound: list[GeneratedTitle] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)
    refused: dict[str, None] = field(default_factory=dict)


def title_hash(title: str) -> int:
    """64-bit hash of `duplicate_key`."""
    text = "\0".join(duplicate_key(title)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def choose_titles(
    items: Sequence[Item],
    policy: TitleWriter,
    model: RewardModel,
    rules: Constraints,
    config: GenerateConfig,
    shop: Shop,
    seed: int,
    passes: int = PASSES,
    counts: Sequence[int] | None = None,
) -> list[list[Choice]]:
    """``counts`` choices an item (None: ``config.n`` of each), best first; ``shop`` remembers them.

    Items whose titles went to others of the same call are tried again, in up to ``passes`` passes. With one title an
    item, its current title stays unless one that is better with confidence is free; one that breaks a rule gives way to
    the best that keeps them all.
    """
    counts = counts or [config.n] * len(items)
    found = _sound_titles(items, policy, rules, config, shop, seed)
    owners = [item for item, one in zip(items, found, strict=True) for _ in one.sound]
    written = [title for one in found for title in one.sound]
    current = [(item, item.current_title) for item in items if config.n == 1 and _has_current(item, config)]
    texts = [title.text for title in written] + [title for _, title in current if title]
    predicted = model.predict([*owners, *(item for item, _ in current)], texts)
    value = cautious_reward(predicted, config.risk_aversion)
    out: list[list[Choice]] = []
    start, now = 0, len(written)
    for item, one, n in zip(items, found, counts, strict=True):
        rows = np.arange(start, start + len(one.sound))
        start += len(one.sound)
        best = [int(row) for row in rows[np.argsort(-value[rows], kind="stable")]]
        refused, fallback = tuple(one.refused), None
        if config.n == 1 and _has_current(item, config):
            candidates, broken = bool(best), rules.check(item, str(item.current_title))
            if _may_stay(broken):
                effects = predicted.effect, predicted.effect_std
                best = [row for row in best if _better(*effects, row, now, config.confidence)]
            if not best or passes == 1:  # before the last pass, one whose better titles went to others tries again
                fallback = replace(
                    _current(item, broken, bool(best), candidates, refused),
                    reward=float(predicted.reward[now]),
                    reward_std=float(predicted.reward_std[now]),
                    support=float(predicted.support[now]),
                )
            now += 1
        choices = [
            Choice(
                item,
                written[row].text,
                written[row].log_prob,
                written[row].finished,
                float(predicted.reward[row]),
                float(predicted.reward_std[row]),
                float(predicted.support[row]),
            )
            for row in best
        ]
        out.append(_given_out(choices, item, n, shop, refused, fallback))
    short = [i for i, one in enumerate(found) if one.sound and any(choice.title is None for choice in out[i])]
    if short and passes > 1:
        kept = {i: [choice for choice in out[i] if choice.title is not None] for i in short}
        lacking = [counts[i] - len(kept[i]) for i in short]
        few = [items[i] for i in short]
        again = choose_titles(few, policy, model, rules, config, shop, seed + 7919, passes - 1, lacking)
        for i, choices in zip(short, again, strict=True):
            out[i] = _best_first([*kept[i], *choices])
    return out


def settle(
    chosen: Sequence[Sequence[Choice]],
    items: Sequence[Item],
    policy: TitleWriter,
    model: RewardModel,
    rules: Constraints,
    config: GenerateConfig,
    shop: Shop,
    seed: int,
) -> list[list[Choice]]:
    """The choices where ``shop`` has none of their titles yet, other titles for the items where it has.

    ``chosen`` was written by `choose_titles` without knowing the shop, in another process perhaps; after this no two
    items have the same words, and the result is the same whoever wrote it.
    """
    out = [[one for one in choices if one.title is None or shop.take(one.title) or one.kept] for choices in chosen]
    lost = [i for i, choices in enumerate(chosen) if len(out[i]) < len(choices)]
    if lost:
        lacking = [len(chosen[i]) - len(out[i]) for i in lost]
        shop.stopped["near_duplicate"] += sum(lacking)
        few = [items[i] for i in lost]
        again = choose_titles(few, policy, model, rules, config, shop, seed, counts=lacking)
        for i, choices in zip(lost, again, strict=True):
            out[i] = _best_first([*out[i], *choices])
    return out


def _best_first(choices: Sequence[Choice]) -> list[Choice]:
    """By predicted reward, those without a title last."""
    return sorted(choices, key=lambda one: -one.reward if one.reward is not None else float("inf"))


def _sound_titles(
    items: Sequence[Item],
    policy: TitleWriter,
    rules: Constraints,
    config: GenerateConfig,
    shop: Shop,
    seed: int,
) -> list[_Candidates]:
    """Different titles that break no rule; items that lack some are tried again."""
    found = [_Candidates() for _ in items]
    wanted = max(config.n, config.best_of)
    speaking = [i for i, item in enumerate(items) if item.fields or item.current_title]
    for i in set(range(len(items))).difference(speaking):
        found[i].refused[MUTE] = None
    for attempt in range(ROUNDS):
        short = [i for i in speaking if len(found[i].sound) < (wanted if attempt == 0 else config.n)]
        if not short:
            break
        likeliest = attempt == 0  # the likeliest title again would break the same rule again
        how = config.model_copy(
            update={
                "temperature": config.temperature if likeliest else config.temperature or 1.0,
                "beams": max(config.beams, wanted) if likeliest and config.beams > 1 else 1,
                "seed": seed + 1_000_003 * attempt,
            }
        )
        written = policy.write([items[i] for i in short], wanted if likeliest else max(2, config.n), how, rules)
        for i, titles in zip(short, written, strict=True):
            for title in titles:
                _sort_in(found[i], items[i], title, rules, shop)
    return found


def _sort_in(one: _Candidates, item: Item, title: GeneratedTitle, rules: Constraints, shop: Shop) -> None:
    shop.stopped.update(f"decoding: {kind}" for kind in title.stopped_by)
    violations = rules.check(item, title.text)
    if not title.finished:
        violations = [*violations, Violation("unfinished", "cut off by the length limit")]
    key = title_hash(title.text)
    if key in one.keys:
        return  # the same title again is no news
    if not violations and key in shop:
        violations = [Violation("near_duplicate", "another item has the same words")]
    if violations:
        shop.stopped.update({violation.kind for violation in violations})
        one.refused.update(dict.fromkeys(described(violations)))
        return
    one.keys.add(key)
    one.sound.append(title)


def described(violations: Sequence[Violation]) -> list[str]:
    """``kind: detail`` of each."""
    return [f"{violation.kind}: {violation.detail}" for violation in violations]


def _has_current(item: Item, config: GenerateConfig) -> bool:
    return config.keep_current and bool(item.current_title)


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


def _current(
    item: Item, broken: Sequence[Violation], better: bool, candidates: bool, refused: tuple[str, ...]
) -> Choice:
    lacking = NOT_BETTER if candidates else f"no new {BY_RULES} ({'; '.join(refused[:3])})"
    reason = TAKEN if better else lacking
    return Choice(item, item.current_title, kept=True, reason=reason, report=tuple(described(broken)))


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
