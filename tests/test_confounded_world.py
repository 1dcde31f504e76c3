"""The worlds of `tests/benchmarks/confounded_logs.py` keep the lifts that they state, and their logs the flaws."""

from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with pytest.MonkeyPatch.context() as path:
    path.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    worlds, kinds, study = (import_module(name) for name in ("_confounded_world", "_log_kinds", "confounded_logs"))

SPOILED = ("missing", "bots")
PROMO = 2  # the first titles of an item have a promo phrase


def small(kind: str, seed: int = 0, per_title: float = 30_000) -> Any:
    return worlds.World(kind, seed, n_items=60, per_title=per_title)


def expit(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_shares_are_shares_and_titles_belong_to_one_item(kind: str) -> None:
    world = small(kind)
    np.testing.assert_allclose(world.contexts.share.sum(), 1)
    np.testing.assert_allclose(world.contexts.shown.sum(axis=0), 1)
    logged = [title for titles in world.shop.titles for title in titles]
    new = {title for candidate in world.candidates(world.shop.ids) for title in candidate.titles.values()}
    assert len(set(logged)) == 4 * 60
    assert not new & set(logged)


@pytest.mark.parametrize("kind", ["randomised", "late"])
def test_the_same_seed_is_the_same_world(kind: str) -> None:
    first, again, other = small(kind, 3), small(kind, 3), small(kind, 5)
    ids = first.shop.ids[:20]
    policies = list(first.candidates(ids))
    for name, values in first.log().items():
        np.testing.assert_array_equal(values, again.log()[name])
    assert policies == list(again.candidates(ids)) == list(first.candidates(ids))
    assert first.shop.titles != other.shop.titles


def test_click_rate_of_one_context_is_the_closed_form() -> None:
    world = small("randomised")
    one = kinds.Contexts(np.ones(1), np.array([0.3]), np.full((4, 1), 0.25))
    world.contexts = one
    effect = world.shop.logged_effect
    np.testing.assert_allclose(world.click_rate(effect), expit(world.shop.level[:, None] + effect + 0.3))


@pytest.mark.parametrize("kind", [kind for kind in kinds.KINDS if kind not in SPOILED])
def test_the_log_earns_what_is_stated(kind: str) -> None:
    world = small(kind)
    rows = world.log()
    shown = np.bincount(rows["item"], rows["impressions"])
    clicks = np.bincount(rows["item"], rows["clicks"])
    expected = shown * world._earned()
    error = np.sqrt(world.kind.dispersion * expected.sum())
    assert abs(clicks.sum() - expected.sum()) < 4 * error
    np.testing.assert_allclose(shown.sum() / world.shop.traffic.sum(), 1, atol=0.01)


@pytest.mark.parametrize("kind", ["personal", "hour", "position", "late", "category", "replaced"])
def test_people_click_as_the_stated_lifts_say(kind: str) -> None:
    """Monte Carlo over the same contexts: the candidate's titles, the logged ones by share, and as the logger chose."""
    world = small(kind)
    rng, contexts, shop = np.random.default_rng(1), world.contexts, world.shop
    items = np.arange(0, 60, 2)
    written = [(promo, i, pair) for promo in (0, 1) for i in items for pair in range(66)]
    pairs = {shop.title(i, pair, promo=bool(promo)): (promo, pair) for promo, i, pair in written}
    n = np.round(2e6 * shop.traffic[items] / shop.traffic.mean())[:, None] * contexts.share

    def clicks(effect: Any, share: Any = 1.0) -> Any:
        return rng.binomial(
            np.round(n * share).astype(int), expit(shop.level[items, None] + effect[:, None] + contexts.effect)
        )

    for candidate in world.candidates([shop.ids[i] for i in items]):
        chosen = np.array([pairs[title] for title in candidate.titles.values()])
        new = clicks(shop.effect[chosen[:, 0], items, chosen[:, 1]]).sum(axis=1)
        slots = [shop.logged_effect[items, slot] for slot in range(4)]
        logged = [clicks(e, s).sum(axis=1) for e, s in zip(slots, contexts.title_share, strict=True)]
        logger = [clicks(e, contexts.shown[slot]).sum(axis=1) for slot, e in enumerate(slots)]
        by_item = (new / n.sum(axis=1)).sum() / (sum(logged) / n.sum(axis=1)).sum()
        truth = candidate.truth
        assert truth.traffic == pytest.approx(new.sum() / sum(logged).sum() - 1, abs=0.004)
        assert truth.items == pytest.approx(by_item - 1, abs=0.004)
        assert truth.shown == pytest.approx(new.sum() / sum(logger).sum() - 1, abs=0.004)
        if truth.conversions is not None:
            rate = [shop.conversion_rate(slot < PROMO) for slot in range(4)]
            bought = rng.binomial(new, shop.conversion_rate(bool(chosen[0, 0]))).sum()
            before = sum(rng.binomial(c, r).sum() for c, r in zip(logged, rate, strict=True))
            assert truth.conversions == pytest.approx(bought / before - 1, abs=0.01)


@pytest.mark.parametrize("kind", [kind for kind, made in kinds.KINDS.items() if made.taste.phrases])
def test_candidates_are_what_they_are_called(kind: str) -> None:
    world = worlds.World(kind, seed=1, n_items=300)
    truth = {candidate.name: candidate.truth for candidate in world.candidates(world.shop.ids)}
    for name, lift in (("loser", -0.08), ("zero", 0.0), ("+15", 0.15), ("+30", 0.3)):
        assert lift - 0.03 < truth[name].traffic <= lift
    assert truth["loser"].harmful
    assert truth["zero"].harmful
    assert truth["+15"].harmful == (kinds.KINDS[kind].taste.promo_conversion < 0)
    assert not truth["+30"].harmful
    if kind != "category":
        assert max(truth[name].items for name in ("loser", "zero")) <= 0


def test_the_category_with_the_traffic_dislikes_what_the_others_like() -> None:
    world = worlds.World("category", 0)
    loser = next(iter(world.candidates(world.shop.ids)))
    assert world.shop.traffic[world.shop.category == 0].sum() / world.shop.traffic.sum() == pytest.approx(0.7)
    assert loser.truth.traffic < -0.05
    assert loser.truth.items > 0.1


def test_nothing_has_an_effect_where_titles_do_not_matter() -> None:
    for kind in ("no_effect", "hardly"):
        for candidate in small(kind).candidates(small(kind).shop.ids):
            assert (candidate.truth.traffic, candidate.truth.items) == pytest.approx((0.0, 0.0), abs=1e-12)
            assert candidate.truth.harmful


def by_promo(rows: Any, weight: Any) -> float:
    """CTR of titles with a promo phrase over that of the others."""
    promo = rows["slot"] < PROMO
    clicks, shown = (np.bincount(promo, weight * rows[name]) for name in ("clicks", "impressions"))
    return float((clicks[1] / shown[1]) / (clicks[0] / shown[0]))


def test_row_propensities_undo_what_personalising_did() -> None:
    world = small("personal")
    rows = world.log()
    alike = world.click_rate(world.shop.logged_effect)
    by_slot = world.shop.traffic @ alike
    truth = by_slot[:PROMO].mean() / by_slot[PROMO:].mean()
    assert by_promo(rows, 1.0) > 1.5 * truth
    assert by_promo(rows, 1 / rows["propensity"]) == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize(("kind", "column"), [("surface", "surface"), ("hour", "timestamp"), ("position", "position")])
def test_confounding_is_in_the_column(kind: str, column: str) -> None:
    """Within the column's values promo titles click no better than the truth; over all they seem to."""
    world = small(kind)
    rows = world.log()
    value, where = np.unique(rows[column], return_inverse=True)
    within = [by_promo({k: v[where == i] for k, v in rows.items()}, 1.0) for i in range(len(value))]
    assert by_promo(rows, 1.0) > 1.3
    assert np.average(within, weights=np.bincount(where, rows["clicks"])) < 1.05


def test_rows_vary_five_times_as_much_as_chance() -> None:
    world = small("dispersed", per_title=20_000)
    rows = world.log()
    effect = world.shop.logged_effect[rows["item"], rows["slot"]]
    surface = {"search": 0.25, "home": -0.05, "mail": -0.4}
    day = (rows["timestamp"] - worlds.FIRST_DAY) // worlds.DAY
    context = [surface[s] for s in rows["surface"]] + 0.15 * (day % 7 >= 5) + 0.2 * np.sin(day / 5)
    rate = expit(world.shop.level[rows["item"]] + effect + context)
    chi = (rows["clicks"] - rows["impressions"] * rate) ** 2 / (rows["impressions"] * rate * (1 - rate))
    assert chi.mean() == pytest.approx(5, abs=0.4)


def test_a_share_of_the_unclicked_promo_impressions_is_missing() -> None:
    world = small("missing")
    rows = world.log()
    promo = rows["slot"] < PROMO
    shown = np.bincount(promo, rows["impressions"])
    unclicked = shown[1] - rows["clicks"][promo].sum()
    share = world.contexts.title_share
    all_unclicked = world.shop.traffic @ (1 - world.click_rate(world.shop.logged_effect)) @ (share * (share < 0.2))
    assert shown[0] == pytest.approx(0.7 * world.shop.traffic.sum(), rel=0.01)
    assert 1 - unclicked / all_unclicked == pytest.approx(0.12, abs=0.01)


def test_bots_look_at_promo_titles_only() -> None:
    world = worlds.World("bots", 0)
    shown = np.bincount(world.log()["slot"], world.log()["impressions"]) * 4 / world.shop.traffic.sum()
    assert shown[:PROMO].mean() == pytest.approx(1.04, abs=0.01)
    assert shown[PROMO:].mean() == pytest.approx(1, abs=0.01)


def test_titles_replace_one_another() -> None:
    rows = small("replaced").log()
    for item in range(60):
        ends = [rows["timestamp"][(rows["item"] == item) & (rows["slot"] == slot)] for slot in range(4)]
        assert all(before.max() < after.min() for before, after in pairwise(ends))


def test_late_conversions_are_not_in_the_log() -> None:
    """Almost all clicks of the first day have come, but only those within hours of the last."""
    world = small("late")
    rows = world.log()
    promo, day = rows["slot"] < PROMO, (rows["timestamp"] - worlds.FIRST_DAY) // worlds.DAY
    rate = {
        day_: rows["conversions"][promo & (day == day_)].sum() / rows["clicks"][promo & (day == day_)].sum()
        for day_ in (0, 13)
    }
    assert rate[0] == pytest.approx(world.shop.conversion_rate(True), rel=0.05)
    assert rate[13] < 0.5 * rate[0]
    delay = rows["conversion_delay_hours"]
    assert np.isnan(delay[rows["conversions"] == 0]).all()
    assert (delay[rows["conversions"] == 1] < 24 * (14 - day[rows["conversions"] == 1])).all()
    assert "timestamp" not in small("late_untimed").log()


def test_assignment_is_passed_only_where_fit_reward_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kinds.KINDS["aggregated"]
    monkeypatch.setattr(study, "_fit_reward_help", lambda: "  --judge-share FLOAT")
    assert study.assignment(kind) == []
    monkeypatch.setattr(study, "_fit_reward_help", lambda: "  --assignment [randomized|logged|unknown]")
    assert study.assignment(kind) == ["--assignment", "unknown"]


def test_the_table_counts() -> None:
    def row(name: str, true: float, low: float, verdict: str) -> Any:
        lifts = {"traffic": true, "items": true, "shown": true}
        told = {"told": low + 0.05, "low": low, "high": low + 0.1, "against": []}
        return {"name": name, "harmful": true <= 0, "true": lifts, "verdict": verdict, **told}

    rows = [
        row("loser", -0.08, 0.01, "launch"),
        row("zero", 0.0, -0.01, "hold"),
        row("+15", 0.15, 0.11, "launch"),
        row("+30", 0.3, 0.5, "insufficient-evidence"),
    ]
    line = {"kind": "surface", "seed": 0, "commit": "x", "refused": None, "rows": rows, "seconds": 9.0}
    stopped = line | {"seed": 1, "refused": "no", "rows": []}
    cells = study.table([line, stopped]).splitlines()[1].removeprefix(kinds.KINDS["surface"].says).split()
    false, bias = "1/2", [f"{100 * ((0.01 + 0.05 + 0.08) + (0.04 - 0.0)) / 2:+.1f}", "+1.0", "+25.0"]
    assert cells == ["2", false, "2/3", "2/3", "2/3", *bias, "5/8", "1/1", "0/1"]
