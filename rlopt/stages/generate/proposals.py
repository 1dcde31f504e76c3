"""Titles that a policy proposes for each item, sorted by what is known against them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reward.belonging.belonging import FLUENCY, RELEVANCE, Belonging
from reward.items import Item
from reward.model.reward_model import RewardModel, RewardPrediction
from rlopt.config import GenerateConfig
from rlopt.policy.constraints import Constraints, Violation, duplicate_key
from rlopt.policy.title_policy import GeneratedTitle, TitleWriter
from rlopt.reviewing.decided import Reviews

ROUNDS = 6  # attempts at a sound title before the item goes without
REMEMBERED = 10_000  # hashes of titles that wait to be sorted in
MUTE = "the item says nothing: it has neither fields nor a current title"


@dataclass
class Shop:
    """Memory from one item to the next: titles in use, and how often each rule stopped one.

    Parameters
    ----------
    stopped
        Rule -> titles that it stopped, while they were written (``decoding ...``) or after.
    """

    stopped: Counter[str] = field(default_factory=Counter)
    _recent: set[int] = field(default_factory=set)
    _older: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))  # sorted

    def __contains__(self, key: int) -> bool:
        """True if a title with this `title_hash` was given out."""
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


class NoReward:
    """Stand-in for a reward model where there is none yet: its predictions are NaN."""

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> RewardPrediction:
        """NaN for each pair, shape (n,)."""
        unknown = np.full(len(titles), np.nan)
        return RewardPrediction(unknown, None, unknown, unknown, unknown, unknown, unknown)


@dataclass(frozen=True)
class Means:
    """Writer of titles, and the models that choose among them.

    Parameters
    ----------
    policy, model, rules, config
        The writer, the reward model (or `NoReward`), the rules, the settings.
    belonging
        Model of belonging; None where the run has none.
    reviews
        Decisions of people: approved titles stand, and refused ones do not come back.
    slope
        Factor for predicted differences (`reward.evidence.slope.trust`).
    reward
        Basis of ``model``: "none" (there is no reward yet), "observational", or "within items".
    """

    policy: TitleWriter
    model: RewardModel | NoReward
    rules: Constraints
    config: GenerateConfig
    belonging: Belonging | None = None
    reviews: Reviews = field(default_factory=Reviews)
    slope: float = 1.0
    reward: str = "within items"


@dataclass(frozen=True)
class Proposal:
    """A written title that breaks no rule.

    Parameters
    ----------
    relevance, fluency
        None where they are not known.
    against
        Names of the scores below their floors.
    """

    written: GeneratedTitle
    relevance: float | None = None
    fluency: float | None = None
    against: tuple[str, ...] = ()


@dataclass
class Proposals:
    """Titles proposed for one item.

    Parameters
    ----------
    sound
        Titles that break no rule and belong to the item, as far as is known.
    apart
        Titles that break no rule but do not belong: taken where others are lacking.
    keys
        `title_hash` of the sound ones.
    refused
        Objections to the refused titles.
    """

    sound: list[Proposal] = field(default_factory=list)
    apart: list[Proposal] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)
    refused: dict[str, None] = field(default_factory=dict)


def propose(items: Sequence[Item], means: Means, shop: Shop, seed: int) -> list[Proposals]:
    """Different titles that break no rule; items that lack some are tried again."""
    config, rules = means.config, means.rules
    found = [Proposals() for _ in items]
    wanted = config.written
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
        written = means.policy.write([items[i] for i in short], wanted if likeliest else max(2, config.n), how, rules)
        pairs = [(i, title) for i, titles in zip(short, written, strict=True) for title in titles]
        fresh = [(i, title) for i, title in pairs if _keeps_the_rules(found[i], items[i], title, means, shop)]
        _sort_in(found, items, fresh, means, shop)
    return found


def title_hash(title: str) -> int:
    """64-bit hash of `duplicate_key`."""
    text = "\0".join(duplicate_key(title)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def described(violations: Sequence[Violation]) -> list[str]:
    """``kind: detail`` of each."""
    return [f"{violation.kind}: {violation.detail}" for violation in violations]


def _keeps_the_rules(one: Proposals, item: Item, title: GeneratedTitle, means: Means, shop: Shop) -> bool:
    """True if this is a new title that breaks no rule; otherwise counts the rule that stopped it."""
    shop.stopped.update(f"decoding: {kind}" for kind in title.stopped_by)
    violations = means.rules.check(item, title.text)
    if means.reviews.refuses(item.item_id, title.text):
        violations = [*violations, Violation("rejected", "people refused it for this item")]
    if not title.finished:
        violations = [*violations, Violation("unfinished", "cut off by the length limit")]
    key = title_hash(title.text)
    if key in one.keys:
        return False  # the same title again is no news
    if not violations and key in shop:
        violations = [Violation("near_duplicate", "another item has the same words")]
    if violations:
        shop.stopped.update({violation.kind for violation in violations})
        one.refused.update(dict.fromkeys(described(violations)))
        return False
    one.keys.add(key)
    return True


def _sort_in(
    found: Sequence[Proposals],
    items: Sequence[Item],
    fresh: Sequence[tuple[int, GeneratedTitle]],
    means: Means,
    shop: Shop,
) -> None:
    """Put titles of the items with these numbers where they belong."""
    if means.belonging is None:
        for i, title in fresh:
            found[i].sound.append(Proposal(title))
        return
    thought = means.belonging.predict([items[i] for i, _ in fresh], [title.text for _, title in fresh])
    for row, (i, title) in enumerate(fresh):
        against = tuple(thought.why(row))
        proposal = Proposal(title, thought.score(RELEVANCE, row), thought.score(FLUENCY, row), against)
        if against and means.config.belonging:
            shop.stopped.update(thought.lacks(row))
            found[i].refused.update(dict.fromkeys(against))
            found[i].keys.discard(title_hash(title.text))  # the same words in another order may belong
            if title.text not in [other.written.text for other in found[i].apart]:
                found[i].apart.append(proposal)
        else:
            found[i].sound.append(proposal)
