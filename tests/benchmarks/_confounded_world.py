"""One world: a shop, a log of it of one kind, and policies whose true lift is known."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _click_model import PAIRS, PROMO_SLOTS, SLOTS, FloatArray, IntArray, Shop, expit
from _log_kinds import DAY, KINDS

N_ITEMS, PER_TITLE = 500, 1500
BOT_CTR, BOT_SHAPE = 0.5, 0.1
SOON_HOURS, LATER_HOURS = (6.0, 1.0), (192.0, 0.15)  # median of the delay, standard deviation of its logarithm
CONVERSION_LOSS = 0.05  # conversions may fall by this share: the default of offline-eval's guardrail
FIRST_DAY = 1_767_225_600  # 2026-01-01, in seconds
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
Columns = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Truth:
    """Lifts of a policy over the logged titles, each at its share of the item's traffic, in the same contexts.

    Parameters
    ----------
    traffic, items
        Lift of clicks per impression, items weighed by their traffic, and alike.
    shown
        As ``traffic``, over what the logger earned, who chose titles by the context.
    conversions
        Lift of conversions per impression by traffic, once all are in; None where there are none.
    """

    traffic: float
    items: float
    shown: float
    conversions: float | None = None

    @property
    def harmful(self) -> bool:
        """True if a launch would be an error: no more clicks, or fewer conversions than the guardrail allows."""
        return self.traffic <= 0 or (self.conversions is not None and self.conversions <= -CONVERSION_LOSS)


@dataclass(frozen=True)
class Candidate:
    """A policy: a title for each of some items."""

    name: str
    titles: dict[str, str]
    truth: Truth


@dataclass(frozen=True)
class Plan:
    """Plan of a candidate: with or without promo phrases, and its true lift; None: phrases at random.

    ``liking`` is how much it likes some phrases for no reason, in units of chance. ``only`` leaves promo phrases to
    one half of the categories; titles of the others are such as change nothing.
    """

    name: str
    promo: bool
    lift: float | None
    liking: float = 0.0
    only: int | None = None


PLANS = (Plan("loser", True, -0.08), Plan("zero", True, 0.0), Plan("+15", True, 0.15), Plan("+30", False, 0.3))
ONE_HALF = (Plan("promo in one half", True, -0.06, only=0), Plan("promo in the other", True, -0.06, only=1))
WITHOUT_EFFECT = tuple(Plan(f"{name}-{n}", name == "promo", None) for n in (1, 2) for name in ("promo", "plain"))


class World:
    """A shop and its log.

    Parameters
    ----------
    kind
        Key of `KINDS`.
    seed
        The world's number; even ones are English, odd ones Chinese.
    n_items, per_title
        Items, and impressions of a logged title in the mean.
    """

    def __init__(self, kind: str, seed: int, n_items: int = N_ITEMS, per_title: float = PER_TITLE) -> None:
        self.name, self.kind = kind, KINDS[kind]
        self._seeds = np.random.SeedSequence([zlib.crc32(kind.encode()), seed]).spawn(4)
        rng = np.random.default_rng(self._seeds[0])
        self.shop = Shop(self.kind.taste, ("en", "zh")[seed % 2], n_items, per_title, rng)
        self.contexts = self.kind.contexts()
        self.start: IntArray = rng.integers(0, self.kind.starts + 1, size=n_items)

    @property
    def _half(self) -> IntArray:
        """The half of the categories that each item is of, shape (n_items,)."""
        category = [fields["category"] for fields in self.shop.fields]
        return np.asarray(np.unique(category, return_inverse=True)[1] % 2)

    @property
    def _in_context(self) -> FloatArray:
        """Effect of each context on each item, shape (n_items, n), or (1, n) where all items have one."""
        effect = self.contexts.effect
        return effect[None] if effect.ndim == 1 else np.asarray(effect[self._half])

    def click_rate(self, effect: FloatArray, items: IntArray | None = None) -> FloatArray:
        """True CTR over an item's contexts of titles with these effects, shape (n_items, k) as ``effect``."""
        level = self.shop.level if items is None else self.shop.level[items]
        if self.contexts.effect.ndim == 2:
            here = self._in_context if items is None else self._in_context[items]
            return np.asarray(expit((level[:, None] + effect)[:, :, None] + here[:, None]) @ self.contexts.share)
        values, where = np.unique(self.contexts.effect, return_inverse=True)
        share = np.bincount(where, self.contexts.share)
        logit = level[:, None] + effect
        return np.asarray(sum(p * expit(logit + x) for p, x in zip(share, values, strict=True)))

    def candidates(self, ids: Sequence[str], plans: Sequence[Plan] = ()) -> Iterator[Candidate]:
        """The policies, those of ``plans`` or the usual ones, for these items; none writes a title that the log has."""
        items = np.array([self.shop.ids.index(item) for item in ids])
        rng = np.random.default_rng(self._seeds[2])
        usual = PLANS if self.contexts.effect.ndim == 1 else (*PLANS, *ONE_HALF)
        for plan in plans or (usual if self.kind.taste.phrases else WITHOUT_EFFECT):
            pair, promo = self._pairs(plan, items, rng), np.full(len(items), plan.promo)
            if plan.only is not None:
                promo = self._half[items] == plan.only
                pair = np.where(promo, pair, self._pairs(Plan("no change", False, 0.0), items, rng))
            titles = {
                item_id: self.shop.title(i, p, promo=with_promo)
                for item_id, i, p, with_promo in zip(ids, items.tolist(), pair.tolist(), promo.tolist(), strict=True)
            }
            yield Candidate(plan.name, titles, self.truth(items, pair, promo=promo))

    def truth(self, items: IntArray, pair: IntArray, *, promo: BoolArray | bool) -> Truth:
        """Lifts of titles with these pairs of phrases, and promo phrases or none, each shape (n_items,)."""
        new = self.click_rate(self.shop.effect[np.asarray(promo, dtype=int), items, pair][:, None], items)[:, 0]
        logged = self.click_rate(self.shop.logged_effect[items], items)
        share, traffic = self.contexts.title_share, self.shop.traffic[items]
        rate = np.array([self.shop.conversion_rate(slot < PROMO_SLOTS) for slot in range(SLOTS)])
        buying = np.where(promo, self.shop.conversion_rate(True), self.shop.conversion_rate(False))
        bought = buying * traffic @ new / (traffic @ (logged @ (share * rate))) - 1
        return Truth(
            traffic=float(traffic @ new / (traffic @ (logged @ share)) - 1),
            items=float(new.sum() / (logged @ share).sum() - 1),
            shown=float(traffic @ new / (traffic @ self._earned()[items]) - 1),
            conversions=None if self.kind.conversions == "none" else float(bought),
        )

    def log(self) -> Columns:
        """The log, a row for each title and context (or title) that was shown."""
        contexts, kind, rng = self.contexts, self.kind, np.random.default_rng(self._seeds[1])
        expected = self.shop.traffic[:, None, None] * contexts.shown * contexts.share
        logit = (self.shop.level[:, None] + self.shop.logged_effect)[:, :, None] + self._in_context[:, None]
        shown = rng.poisson(expected)
        clicks = self._clicks(shown, expit(logit), rng)
        shown, clicks = self._spoiled(shown, clicks, rng)
        if kind.by == "title":
            shown, clicks = (x.sum(axis=2, keepdims=True) for x in (shown, clicks))
        item, slot, context = np.nonzero(shown)
        rows: Columns = {"item": item, "slot": slot, "impressions": shown[shown > 0], "clicks": clicks[shown > 0]}
        if kind.by == "context":
            rows |= {name: values[context] for name, values in contexts.columns.items()}
        for name in contexts.of_item:
            rows[name] = self._of_items(item, rows[name])
        if contexts.buying is not None:
            rows["buying"] = contexts.buying[context]
        if "timestamp" in rows:
            rows["timestamp"] = FIRST_DAY + DAY * self.start[item] + rows["timestamp"]
        if kind.propensities:
            rows["propensity"] = contexts.shown[slot, context]
        if kind.conversions == "none":
            return rows
        rows = self._with_conversions(rows, rng)
        if kind.conversions == "untimed":
            del rows["timestamp"]
        return rows

    def _pairs(self, plan: Plan, items: IntArray, rng: np.random.Generator) -> IntArray:
        """A pair of phrases for each item: pair ~ exp(t * effect), with t such that the true lift is the plan's.

        What only a title has plays no part in the choice. Lifts go in steps; of two neighbours the lower is taken, and
        the best policy where none has as high a lift.
        """
        luck = rng.gumbel(size=(len(items), len(PAIRS)))
        if plan.liking:
            luck += plan.liking * rng.standard_normal(len(PAIRS))
        np.put_along_axis(luck, self.shop.pair[items], -np.inf, axis=1)
        if plan.lift is None:  # a liking for some phrases, of which nothing comes
            return np.asarray((luck + rng.standard_normal(len(PAIRS))).argmax(axis=1))
        score = self.shop.known[int(plan.promo), items]
        score = (score - score.mean(axis=1, keepdims=True)) / score.std()
        low, high = -30.0, 30.0
        if (worst := self._lift(plan, items, (low * score + luck).argmax(axis=1))) > plan.lift:
            raise ValueError(f"{self.name}: no policy of true lift {plan.lift:+.0%}, the worst has {worst:+.1%}.")
        for _ in range(30):
            t = (low + high) / 2
            lift = self._lift(plan, items, (t * score + luck).argmax(axis=1))
            low, high = (t, high) if lift <= plan.lift else (low, t)
        return np.asarray((low * score + luck).argmax(axis=1))

    def _lift(self, plan: Plan, items: IntArray, pair: IntArray) -> float:
        """Lift by traffic; of a policy that is not to be better by traffic or by item, the higher of the two.

        Not where it is the point that the two differ.
        """
        truth = self.truth(items, pair, promo=plan.promo)
        gain = plan.lift is not None and plan.lift > 0
        return truth.traffic if gain or self.kind.taste.first_share else max(truth.traffic, truth.items)

    def _of_items(self, item: IntArray, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Prices of the items times factors, or addresses of their pictures."""
        if values.dtype.kind == "f":
            price = np.exp(np.random.default_rng(self._seeds[3]).normal(3.0, 1.0, len(self.shop.ids)))
            return np.asarray(np.round(price[item] * values, 2))
        return np.array([f"/{i}/{name}.jpg" for i, name in zip(item.tolist(), values.tolist(), strict=True)])

    def _earned(self) -> FloatArray:
        """Clicks per impression of each item's log, shape (n_items,)."""
        logit = (self.shop.level[:, None] + self.shop.logged_effect)[:, :, None] + self._in_context[:, None]
        return np.asarray((expit(logit) * self.contexts.shown * self.contexts.share).sum(axis=(1, 2)))

    def _clicks(self, shown: IntArray, rate: FloatArray, rng: np.random.Generator) -> IntArray:
        """Binomial, or with a rate of the row's own so that the variance is `Kind.dispersion` times chance."""
        if self.kind.dispersion == 1:
            return np.asarray(rng.binomial(shown, rate))
        size = np.maximum((shown - 1) / (self.kind.dispersion - 1) - 1, 0.01)  # a few impressions cannot vary that much
        return np.asarray(rng.binomial(shown, rng.beta(rate * size, (1 - rate) * size)))

    def _spoiled(self, shown: IntArray, clicks: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Spoil the log: promo titles' unclicked impressions get lost, bots come in bursts."""
        promo = (np.arange(SLOTS) < PROMO_SLOTS)[None, :, None]
        if self.kind.missing:
            shown = shown - promo * rng.binomial(shown - clicks, self.kind.missing)
        if self.kind.bots:
            burst = rng.gamma(BOT_SHAPE, self.kind.bots / BOT_SHAPE, size=shown.shape)
            more = promo * rng.poisson(shown * burst)
            shown, clicks = shown + more, clicks + rng.binomial(more, BOT_CTR)
        return shown, clicks

    def _with_conversions(self, rows: Columns, rng: np.random.Generator) -> Columns:
        """Each conversion that came before the log's end is a row of its own, with its delay."""
        promo = rows["slot"] < PROMO_SLOTS
        rate = np.where(promo, self.shop.conversion_rate(True), self.shop.conversion_rate(False))
        rate = rate * rows.pop("buying", 1.0)
        bought = rng.binomial(rows["clicks"], rate)
        owner = np.repeat(np.arange(len(bought)), bought)
        soon = rng.random(len(owner)) < self.kind.soon
        median, spread = np.where(soon[:, None], SOON_HOURS, LATER_HOURS).T
        hours = median * np.exp(spread * rng.standard_normal(len(owner)))
        end = rows["timestamp"].max() + DAY
        in_time = rows["timestamp"][owner] + 3600 * hours < end
        owner, hours = owner[in_time], hours[in_time]
        less = np.bincount(owner, minlength=len(bought))
        rest = rows | {name: rows[name] - less for name in ("impressions", "clicks")}
        one = {name: values[owner] for name, values in rows.items()} | dict.fromkeys(
            ("impressions", "clicks", "conversions"), np.ones(len(owner), dtype=np.int64)
        )
        none = {
            "conversions": np.zeros(len(bought), dtype=np.int64),
            "conversion_delay_hours": np.full(len(bought), np.nan),
        }
        rest, one = rest | none, one | {"conversion_delay_hours": hours}
        kept = rest["impressions"] > 0
        return {name: np.concatenate([values[kept], one[name]]) for name, values in rest.items()}
