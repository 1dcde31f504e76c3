"""Kinds of logs: in which contexts titles were shown, what shoppers do there, and what of it the log holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from _click_model import PROMO_SLOTS, SLOTS, FloatArray, Taste

Assignment = Literal["randomized", "logged", "unknown"]
Logged = np.ndarray[Any, np.dtype[Any]]

HOUR, DAY = 3600, 86_400
EVEN = (0.25, 0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Contexts:
    """Contexts of the impressions, alike for all items.

    Parameters
    ----------
    share
        Share of an item's impressions, shape (n,); sums to 1.
    effect
        On logit CTR, shape (n,), or (2, n) where the shop's odd and even categories differ in it.
    shown
        How often each of the item's titles is shown there, shape (4, n); columns sum to 1.
    columns
        What the log says of a context: column -> values, each shape (n,). ``timestamp`` is in seconds from the item's
        first day.
    of_item
        Columns whose values belong to the item: factors of a price of its own, or else names of its own pictures.
    buying
        Factor of P(conversion | click), shape (n,), with a mean of 1 over the traffic; only where ``effect`` is 0.
    """

    share: FloatArray
    effect: FloatArray
    shown: FloatArray
    columns: Mapping[str, Logged] = field(default_factory=dict)
    of_item: tuple[str, ...] = ()
    buying: FloatArray | None = None

    @property
    def title_share(self) -> FloatArray:
        """Share of the traffic of each of an item's titles, shape (4,)."""
        return np.asarray(self.shown @ self.share)


@dataclass(frozen=True)
class Kind:
    """One kind of log.

    Parameters
    ----------
    says
        What the log holds, for the table.
    contexts
        The contexts and the habit of showing titles there.
    assignment
        What the user would say of it: ``fit-reward --assignment``. "randomized" also where it was not quite so and the
        log shows it; "unknown" where nothing in the log could tell.
    taste
        What shoppers make of titles.
    propensities
        Whether the log holds the chance of each title.
    by
        "context": a row for each title and context; "title": rows of one title are added up.
    dispersion
        Variance of a row's clicks over chance.
    missing
        Share of the unclicked impressions of promo titles that the log lost.
    bots
        Impressions by bots for each one by people, of promo titles.
    starts
        Days over which the items' first days are spread.
    conversions
        Whether conversions are logged, those that came before the log's end, with their delays: "timed" with the times
        of the clicks, "untimed" without.
    soon
        Share of the conversions that come within hours; the others come after a week or more.
    """

    says: str
    contexts: Callable[[], Contexts]
    assignment: Assignment = "randomized"
    taste: Taste = field(default_factory=Taste)
    propensities: bool = False
    by: Literal["context", "title"] = "context"
    dispersion: float = 1.0
    missing: float = 0.0
    bots: float = 0.0
    starts: int = 0
    conversions: Literal["none", "timed", "untimed"] = "none"
    soon: float = 0.4


def promo_first(promo: FloatArray) -> FloatArray:
    """``Contexts.shown`` where promo titles get this share of each context, shape (n,), and titles of a sort alike."""
    rest = SLOTS - PROMO_SLOTS
    return np.stack([promo / PROMO_SLOTS] * PROMO_SLOTS + [(1 - promo) / rest] * rest)


def calendar(days: int = 14, shares: tuple[float, ...] = EVEN) -> Contexts:
    """Three surfaces on each day, with weekends and a season; every title everywhere at its share."""
    surface, day = (grid.ravel() for grid in np.meshgrid(np.arange(3), np.arange(days), indexing="ij"))
    share = np.array([0.45, 0.35, 0.2])[surface] / days
    effect = np.array([0.25, -0.05, -0.4])[surface] + 0.15 * (day % 7 >= 5) + 0.2 * np.sin(day / 5)
    shown = np.tile(np.array(shares)[:, None], len(share))
    surfaces = np.array(["search", "home", "mail"])[surface]
    return Contexts(share, effect, shown, {"surface": surfaces, "timestamp": day * DAY})


def two_crowds(*, visible: bool) -> Contexts:
    """Half of the people click twice as often as the other half, and are shown promo titles in 85 of 100 cases."""
    columns = {"surface": np.array(["search", "mail"])} if visible else {}
    shown = promo_first(np.array([0.85, 0.15]))
    return Contexts(np.array([0.5, 0.5]), np.log([1.4, 0.65]), shown, columns)


def evenings(promo: tuple[float, float], factor: tuple[float, float], days: int = 7) -> Contexts:
    """Hourly: half of the traffic comes from 17 to 23 o'clock; shares of promo titles and CTR factors then and else."""
    day, hour = (grid.ravel() for grid in np.meshgrid(np.arange(days), np.arange(24), indexing="ij"))
    evening = hour >= 17
    share = np.where(evening, 0.5 / 7, 0.5 / 17) / days
    shown = promo_first(np.where(evening, *promo))
    return Contexts(share, np.log(np.where(evening, *factor)), shown, {"timestamp": day * DAY + hour * HOUR})


def weekends(days: int = 28) -> Contexts:
    """People click half again as often at weekends, when 85 of 100 titles shown are promo titles (else 36)."""
    day = np.arange(days)
    free = day % 7 >= 5
    shown = promo_first(np.where(free, 0.85, 0.36))
    return Contexts(np.full(days, 1 / days), np.log(np.where(free, 1.5, 1.0)), shown, {"timestamp": day * DAY})


def positions() -> Contexts:
    """Four positions, the lower ones looked at less; promo titles are mostly on the upper two."""
    shown = promo_first(np.array([0.85, 0.65, 0.35, 0.15]))
    return Contexts(np.full(4, 0.25), np.log([1.0, 0.62, 0.43, 0.3]), shown, {"position": np.arange(1, 5)})


def one_after_the_other(days: int = 28) -> Contexts:
    """Each title for a quarter of the item's life, promo titles first; the item wears out to two fifths."""
    day = np.arange(days)
    shown = np.stack([(day * SLOTS // days == slot) * 1.0 for slot in range(SLOTS)])
    return Contexts(np.full(days, 1 / days), np.log(np.linspace(1.4, 0.6, days)), shown, {"timestamp": day * DAY})


def affinities(levels: int = 60) -> Contexts:
    """A score of each impression, on record, raises both the clicks and the chance of a promo title."""
    score = np.linspace(0.01, 0.99, levels)
    shown = promo_first(0.15 + 0.7 * score)
    return Contexts(np.full(levels, 1 / levels), score - 0.5, shown, {"affinity": np.round(score, 3)})


def segments(n: int = 300) -> Contexts:
    """User segments of unlike size click unlike much; promo titles go to those that click."""
    rng = np.random.default_rng(5)
    z, share = rng.standard_normal(n), rng.dirichlet(np.full(n, 3.0))
    shown = promo_first(1 / (1 + np.exp(-1.2 * z)))
    return Contexts(share, 0.35 * z, shown, {"segment": np.array([f"segment-{i}" for i in range(n)])})


def uneven_segments() -> Contexts:
    """The same segments, of which half of the categories like those that the other half dislikes."""
    whole = segments()
    return Contexts(whole.share, np.outer([1.0, -1.6], whole.effect), whole.shown, whole.columns)


def ramp(days: int = 28) -> Contexts:
    """Promo titles grow from a fifth to four fifths of the traffic while people click more and more."""
    shown = promo_first(np.linspace(0.2, 0.8, days))
    return Contexts(np.full(days, 1 / days), np.linspace(-0.4, 0.4, days), shown, {"timestamp": np.arange(days) * DAY})


def campaign(first: int = 10, days: int = 28) -> Contexts:
    """Four days of a campaign with half of the traffic, more clicks and four fifths of promo titles (else one)."""
    day = np.arange(days)
    hot = (day >= first) & (day < first + 4)
    share = np.where(hot, 0.5 / 4, 0.5 / (days - 4))
    return Contexts(share, np.where(hot, 0.45, 0.0), promo_first(np.where(hot, 0.8, 0.2)), {"timestamp": day * DAY})


def flash_sales(days: int = 14) -> Contexts:
    """Eight hours a day, later each day, with half of the traffic, more clicks and four fifths of promo titles."""
    day, hour = (grid.ravel() for grid in np.meshgrid(np.arange(days), np.arange(24), indexing="ij"))
    hot = (hour + 7 * day) % 24 < 8
    share = np.where(hot, 0.5 / 8, 0.5 / 16) / days
    shown = promo_first(np.where(hot, 0.8, 0.2))
    return Contexts(share, np.where(hot, 0.45, -0.2), shown, {"timestamp": day * DAY + hour * HOUR})


def unnamed() -> Contexts:
    """The two crowds; the log names the surface of one and says nothing of the other's."""
    whole = two_crowds(visible=True)
    return Contexts(whole.share, whole.effect, whole.shown, {"surface": np.array(["search", None])})


def hinted() -> Contexts:
    """The two crowds, of which the log has only a hint: the device tells the crowd in 80 of 100 cases."""
    crowd, device = (grid.ravel() for grid in np.meshgrid(np.arange(2), np.arange(2), indexing="ij"))
    columns = {"device": np.array(["phone", "desktop"])[device]}
    share = np.where(crowd == device, 0.4, 0.1)
    return Contexts(share, np.log([1.4, 0.65])[crowd], promo_first(np.array([0.85, 0.15])[crowd]), columns)


def people(promo: tuple[float, float], n: int = 1_200) -> Contexts:
    """The two crowds as people, each with an id and a traffic of their own; shares of promo titles by crowd."""
    rng = np.random.default_rng(7)
    crowd = np.arange(n) % 2
    names = np.array([f"user-{i}" for i in range(n)])
    share = rng.dirichlet(np.full(n, 2.0))
    return Contexts(share, np.log([1.4, 0.65])[crowd], promo_first(np.array(promo)[crowd]), {"user": names})


def uneven(effect: tuple[tuple[float, ...], tuple[float, ...]]) -> Contexts:
    """Two surfaces with half of the traffic each, of which half of the categories like one and half the other."""
    whole = two_crowds(visible=True)
    return Contexts(whole.share, np.log(effect), whole.shown, whole.columns)


def uneven_evenings() -> Contexts:
    """Evenings, with four fifths of promo titles (else one), are good for half of the categories, bad for the rest."""
    whole = evenings((0.8, 0.2), (2.0, 1.0))
    evening = whole.effect > 0
    effect = np.stack([np.where(evening, *pair) for pair in np.log([(1.5, 0.6), (0.8, 1.2)])])
    return Contexts(whole.share, effect, whole.shown, whole.columns)


def uneven_positions() -> Contexts:
    """Lower positions are looked at less, in half of the categories much less; promo titles are on the upper two."""
    whole = positions()
    return Contexts(whole.share, np.log([[1, 0.45, 0.25, 0.15], [1, 0.85, 0.75, 0.65]]), whole.shown, whole.columns)


def uneven_season() -> Contexts:
    """Promo titles ramp up while half of the categories come into season and half go out of it."""
    whole = ramp()
    effect = np.outer([1.0, -0.6], np.linspace(-0.5, 0.5, len(whole.share)))
    return Contexts(whole.share, effect, whole.shown, whole.columns)


def around_the_globe(days: int = 7) -> Contexts:
    """Four countries, each with its own evening, in which people click more and are shown promo titles; hours in UTC.

    Titles are shown alike in every country, and alike at every hour.
    """
    country, hour, day = (
        grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(24), np.arange(days), indexing="ij")
    )
    evening = (hour + 6 * country) % 24 >= 17
    share = np.where(evening, 0.5 / 7, 0.5 / 17) / days / 4
    columns = {"country": np.array(["GB", "BD", "NZ", "MX"])[country], "timestamp": day * DAY + hour * HOUR}
    return Contexts(share, np.where(evening, 0.35, -0.35), promo_first(np.where(evening, 0.8, 0.2)), columns)


def crossed(promo: tuple[float, float] = (0.85, 0.325)) -> Contexts:
    """Each surface has a device where people click more and are shown promo titles: a Latin square, one in three.

    ``promo`` are their shares there and elsewhere.
    """
    device, surface = (grid.ravel() for grid in np.meshgrid(np.arange(3), np.arange(3), indexing="ij"))
    hot = (device + surface) % 3 == 0
    columns = {
        "device": np.array(["phone", "desktop", "tablet"])[device],
        "surface": np.array(["search", "mail", "home"])[surface],
    }
    return Contexts(np.full(9, 1 / 9), np.where(hot, 0.45, -0.3), promo_first(np.where(hot, *promo)), columns)


def uneven_crossed() -> Contexts:
    """The same Latin square, where half of the categories do well and half of them badly; promo titles are there."""
    whole = crossed()
    return Contexts(whole.share, np.outer([1.0, -1.5], whole.effect), whole.shown, whole.columns)


def buyers(days: int = 28) -> Contexts:
    """People click alike on both surfaces, buy three times as often on one, and are shown promo titles there."""
    surface, day = (grid.ravel() for grid in np.meshgrid(np.arange(2), np.arange(days), indexing="ij"))
    n = len(day)
    shown = promo_first(np.array([0.85, 0.15])[surface])
    columns = {"surface": np.array(["search", "mail"])[surface], "timestamp": day * DAY}
    return Contexts(np.full(n, 1 / n), np.zeros(n), shown, columns, buying=np.array([1.5, 0.5])[surface])


def sales(days: int = 14) -> Contexts:
    """Each item is on sale half of the time, at 85% of a price of its own: more clicks, and mostly promo titles."""
    sale, day = (grid.ravel() for grid in np.meshgrid(np.arange(2), np.arange(days), indexing="ij"))
    columns = {"price": np.array([1.0, 0.85])[sale], "timestamp": day * DAY}
    shown = promo_first(np.array([0.15, 0.85])[sale])
    return Contexts(np.full(len(day), 0.5 / days), np.array([-0.35, 0.35])[sale], shown, columns, ("price",))


def pictures(*, of_titles: bool) -> Contexts:
    """Each item has two pictures of its own, of which one has more clicks and 85 of 100, or all, promo titles."""
    share = 1.0 if of_titles else 0.85
    columns = {"picture": np.array(["front", "back"])}
    shown = promo_first(np.array([share, 1 - share]))
    return Contexts(np.array([0.5, 0.5]), np.array([0.35, -0.35]), shown, columns, ("picture",))


def early_promo(days: int = 14) -> Contexts:
    """Promo titles mostly in the first half, the others mostly in the second; nothing else differs."""
    day = np.arange(days)
    shown = promo_first(np.where(day < days / 2, 0.85, 0.15))
    return Contexts(np.full(days, 1 / days), np.zeros(days), shown, {"timestamp": day * DAY})


KINDS: Mapping[str, Kind] = {
    "randomised": Kind("randomised, nothing else (control)", calendar),
    "constant": Kind(
        "propensities logged, one a title", lambda: calendar(shares=(0.35, 0.3, 0.2, 0.15)), "logged", propensities=True
    ),
    "personal": Kind(
        "row propensities of a personalising logger", lambda: two_crowds(visible=False), "logged", propensities=True
    ),
    "surface": Kind("the same confounding, in column surface", lambda: two_crowds(visible=True)),
    "hour": Kind("hourly, promo titles in the evening", lambda: evenings((0.85, 0.15), (1.4, 0.7))),
    "hour_mild": Kind("the same, mild", lambda: evenings((0.6, 0.4), (1.3, 0.9))),
    "missing": Kind(
        "12% of unclicked promo impressions missing",
        lambda: calendar(shares=(0.15, 0.15, 0.35, 0.35)),
        "logged",
        propensities=True,
        missing=0.12,
    ),
    "no_effect": Kind("titles do not matter, randomised", calendar, taste=Taste(phrases=False, promo=(0.0, 0.0))),
    "hardly": Kind(
        "titles do not matter, column surface confounds",
        lambda: two_crowds(visible=True),
        taste=Taste(phrases=False, promo=(0.0, 0.0)),
    ),
    "bots": Kind("bots on promo titles", calendar, bots=0.04),
    "aggregated": Kind(
        "confounded, added up by title, no propensities", lambda: two_crowds(visible=False), "unknown", by="title"
    ),
    "late": Kind(
        "promo titles earlier, conversions not yet in",
        early_promo,
        taste=Taste(promo_conversion=-0.47),
        conversions="timed",
    ),
    "late_untimed": Kind(
        "the same without timestamps", early_promo, taste=Taste(promo_conversion=-0.47), conversions="untimed"
    ),
    "category": Kind(
        "70% of the traffic dislikes the change",
        calendar,
        taste=Taste(promo=(-0.46, 0.62), first_share=0.7),
    ),
    "replaced": Kind("titles replaced one another, items wear out", one_after_the_other, starts=60),
    "weekend": Kind("promo titles at weekends, a weekend season", weekends),
    "position": Kind("promo titles in upper positions", positions),
    "dispersed": Kind("randomised, overdispersion 5", calendar, dispersion=5.0),
    "affinity": Kind("a score on record drives both", affinities),
    "segments": Kind("300 user segments confound", segments),
    "ramp": Kind("promo titles ramp up, clicks too", ramp),
    "campaign": Kind("a campaign of four days", campaign),
    "campaign_middle": Kind("the same in the middle of the log", lambda: campaign(first=12)),
    "flash_sales": Kind("flash sales of eight hours", flash_sales),
    "unnamed": Kind("the surface of one crowd is missing", unnamed),
    "people": Kind("titles chosen by the user, who has an id", lambda: people((0.85, 0.15))),
    "people_mild": Kind("the same, mild", lambda: people((0.6, 0.4))),
    "people_even": Kind("randomised, users with ids", lambda: people((0.5, 0.5))),
    "uneven": Kind("surface, unlike by category", lambda: uneven(((1.6, 0.5), (0.8, 1.25)))),
    "uneven_hour": Kind("evenings, unlike by category", uneven_evenings),
    "uneven_position": Kind("positions, unlike by category", uneven_positions),
    "uneven_segments": Kind("300 user segments, unlike by category", uneven_segments),
    "uneven_season": Kind("promo titles ramp up, season by category", uneven_season),
    "around_the_globe": Kind("evenings in four time zones", around_the_globe),
    "crossed": Kind("combinations of device and surface", crossed),
    "uneven_crossed": Kind("the same, unlike by category", uneven_crossed),
    "buyers": Kind(
        "who buys differs by surface, not who clicks",
        buyers,
        taste=Taste(promo_conversion=-0.5),
        conversions="timed",
        soon=1.0,
    ),
    "sales": Kind("promo titles in sales, prices of the items", sales),
    "pictures": Kind("two pictures an item, one with promo titles", lambda: pictures(of_titles=False)),
    "own_pictures": Kind("each title with its own picture", lambda: pictures(of_titles=True)),
    "dayparts": Kind("titles at hours of their own", lambda: evenings((1.0, 0.0), (1.4, 0.7))),
    "own_crossed": Kind("titles at combinations of their own", lambda: crossed((1.0, 0.0))),
    "hinted": Kind("a column that only hints at the cause", hinted),
}
