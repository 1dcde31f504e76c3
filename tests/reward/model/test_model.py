"""The reward model on a shop whose truth is known: order, level, doubt, junk, persistence, interruption."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.arms import Arms
from reward.errors import ModelError
from reward.evidence.held_out import held_out_figures
from reward.items import Item
from reward.model.reward_model import RewardModel

from ..shop import VALUES, Shop, correlation, make_shop, words_of

FIELDS = ("p_click", "p_conversion", "reward", "reward_std", "effect", "effect_std")
_FITTED: dict[str, tuple[Shop, RewardModel]] = {}


def fitted(locale: str) -> tuple[Shop, RewardModel]:
    """Shop and the model fitted on its first items, made once."""
    if locale not in _FITTED:
        shop = make_shop(locale, n_items=280, impressions=6000)
        train, _ = shop.split()
        model = RewardModel.fit(shop.arms.take(train), seed=3, n_members=3, conversion_weight=2.0, threads=1)
        _FITTED[locale] = shop, model
    return _FITTED[locale]


@pytest.fixture(params=["en", "zh"])
def shop_model(request: pytest.FixtureRequest) -> tuple[Shop, RewardModel]:
    return fitted(request.param)


def held_out(shop: Shop) -> tuple[Arms, np.ndarray]:
    _, test = shop.split()
    return shop.arms.take(test), test


def small(seed: int = 0) -> Arms:
    return make_shop("en", n_items=40, impressions=2000, seed=seed).arms


def test_held_out_titles_are_put_in_the_true_order(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms, rows = held_out(shop)
    predicted = model.predict(arms.arm_items, list(arms.title))
    assert correlation(arms.item_index, predicted.effect, shop.effect[rows]) > 0.93
    slope = np.polyfit(predicted.effect, shop.effect[rows], 1)[0]
    assert 0.8 < slope < 1.25


def test_doubt_matches_the_error(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms, rows = held_out(shop)
    predicted = model.predict(arms.arm_items, list(arms.title))
    truth = shop.p_click * (1 + 2 * shop.p_conversion)
    inside = np.abs(predicted.reward - truth[rows]) < 1.645 * predicted.reward_std
    assert 0.75 <= inside.mean() <= 0.99  # 70 items: their baselines move together with all their titles


def test_joint_effects_have_the_same_doubt_and_differences(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms, _ = held_out(shop)
    predicted, joint = (f(arms.arm_items, list(arms.title)) for f in (model.predict, model.joint_effects))
    assert np.sqrt(np.sum(joint.factors**2, axis=1) + joint.rest**2) == pytest.approx(predicted.effect_std)
    of_item = arms.item_index == arms.item_index[0]
    apart = (predicted.effect - joint.mean)[of_item]  # an item's level, the same for all its titles
    assert apart == pytest.approx(np.full(of_item.sum(), apart[0]))


def test_level_is_right_for_known_and_for_new_items(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    train, test = shop.split()
    # 70 new items with an appeal of their own (standard deviation 0.4) differ from the others by 5% and more.
    for mask, tolerance in ((train, 0.03), (test, 0.25)):
        arms = shop.arms.take(mask)
        predicted = model.predict(arms.arm_items, list(arms.title))
        expected = np.sum(arms.exposure * shop.p_click[mask])
        assert np.sum(arms.exposure * predicted.p_click) == pytest.approx(expected, rel=tolerance)
    known = shop.arms.take(train)
    p = model.predict(known.arm_items, list(known.title)).p_click
    assert np.corrcoef(np.log(p), np.log(shop.p_click[train]))[0, 1] > 0.95


def test_conversions_are_unbiased_and_promises_convert_less(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms, rows = held_out(shop)
    predicted = model.predict(arms.arm_items, list(arms.title))
    assert predicted.p_conversion is not None
    bought = np.sum(arms.clicks * predicted.p_conversion) / np.sum(arms.clicks * shop.p_conversion[rows])
    assert bought == pytest.approx(1.0, abs=0.05)
    low, high = shop.p_conversion[rows] < 0.1, shop.p_conversion[rows] > 0.1
    assert predicted.p_conversion[low].mean() < 0.75 * predicted.p_conversion[high].mean()


def test_reward_is_the_weighted_value_of_an_impression(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    found = model.predict(shop.arms.arm_items[:50], list(shop.arms.title[:50]))
    assert found.p_conversion is not None
    np.testing.assert_allclose(found.reward, found.p_click * (1 + 2 * found.p_conversion))
    clicks_only = replace(model, conversion=None, conversion_weight=0.0)
    alone = clicks_only.predict(shop.arms.arm_items[:50], list(shop.arms.title[:50]))
    assert alone.p_conversion is None
    np.testing.assert_array_equal(alone.reward, found.p_click)


def test_junk_never_looks_good(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms, _ = held_out(shop)
    items = list(arms.items)
    ordinary = np.array([model.predict([i] * 3, titles).reward.mean() for i, titles in _logged(arms)])
    join = lambda parts: words_of(shop.locale, parts)  # noqa: E731
    gibberish = {"en": "qwzx plorg fnord vexil brumt", "zh": "饕餮魑魅魍魉瀑囊氍毹"}[shop.locale]
    promo = {"en": ["hot sale", "new arrival"] * 5, "zh": ["热卖", "新款"] * 5}[shop.locale]
    colors = VALUES[shop.locale]["color"]
    junk = {
        "empty": [""] * len(items),
        "blank": ["   "] * len(items),
        "gibberish": [gibberish] * len(items),
        "promotion only": [join(promo)] * len(items),
        "all colours": [join(list(colors))] * len(items),
        "one value ten times": [join([item.fields["brand"][0]] * 10) for item in items],
        "forty words": [join([v[0] for v in item.fields.values()] * 8) for item in items],
    }
    for name, titles in junk.items():
        reward = model.predict(items, titles).reward
        assert np.all(reward < ordinary), name
        assert reward.mean() < 0.7 * ordinary.mean(), name
        assert model.support(items, titles).mean() < 0.6, name
    assert model.support(arms.arm_items, list(arms.title)).mean() > 0.95


def _logged(arms: Arms) -> list[tuple[Item, list[str]]]:
    """Three logged titles of each item (with repeats where it has fewer)."""
    out = []
    for i, item in enumerate(arms.items):
        titles = arms.title[arms.item_index == i].tolist()
        out.append((item, (titles * 3)[:3]))
    return out


def test_effect_zero_is_the_items_average_rate(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms = shop.arms.take(shop.split()[0])
    predicted = model.predict(arms.arm_items, list(arms.title))
    logit = np.log(predicted.p_click / (1 - predicted.p_click))
    at_zero = 1 / (1 + np.exp(-(logit - predicted.effect)))
    exposure = np.bincount(arms.item_index, arms.exposure)
    average = np.bincount(arms.item_index, arms.exposure * predicted.p_click) / exposure
    ratio = at_zero / average[arms.item_index] - 1
    assert np.abs(ratio).mean() < 0.01
    assert np.quantile(np.abs(ratio), 0.95) < 0.08  # logged titles' own features leave their item out


def test_saved_and_loaded_models_agree_exactly(shop_model: tuple[Shop, RewardModel], tmp_path: Path) -> None:
    shop, model = shop_model
    model.save(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".json", ".npz")]
    again = RewardModel.load(tmp_path)
    items, titles = shop.arms.arm_items[:80], list(shop.arms.title[:80])
    a, b = model.predict(items, titles), again.predict(items, titles)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_predictions_do_not_depend_on_the_batch() -> None:
    shop, model = fitted("en")
    items, titles = shop.arms.arm_items[:600], list(shop.arms.title[:600])
    whole = model.predict(items, titles)
    parts = [model.predict(items[i : i + 7], titles[i : i + 7]).reward for i in range(0, 70, 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole.reward[:70], rtol=1e-9)
    assert model.predict([], []).reward.shape == (0,)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_any_title_has_a_finite_reward(titles: list[str]) -> None:
    shop, model = fitted("zh")
    items = [*shop.arms.arm_items[: len(titles) - 1], Item("never seen", {"x": ("\ud800",)})]
    found = model.predict(items, titles)
    for name in FIELDS:
        assert np.isfinite(getattr(found, name)).all()
    assert np.all((found.p_click > 0) & (found.p_click < 1) & (found.reward_std >= 0))


def test_same_seed_same_model_and_an_interrupted_fit_continues(tmp_path: Path) -> None:
    arms = small()
    straight = RewardModel.fit(arms, seed=5, n_members=3, threads=1)
    finished: list[str] = []

    class KilledError(Exception):
        pass

    def stop(step: str, share: float) -> None:
        if step == "click model 2 of 3":
            raise KilledError

    folder = tmp_path / "members"
    with pytest.raises(KilledError):
        RewardModel.fit(arms, seed=5, n_members=3, threads=1, checkpoint_dir=folder, progress=stop)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("click-*.npz")}
    assert sorted(kept) == ["click-0.npz", "click-1.npz"]
    unlinked: dict[str, int] = {}

    def watch(step: str, share: float) -> None:
        finished.append(step)
        unlinked.update({path.name: path.stat().st_mtime_ns for path in folder.glob("click-*.npz")})

    continued = RewardModel.fit(arms, seed=5, n_members=3, threads=1, checkpoint_dir=folder, progress=watch)
    assert all(unlinked[name] == when for name, when in kept.items())  # not fitted again
    assert not folder.exists()
    a = straight.predict(arms.arm_items, list(arms.title))
    b = continued.predict(arms.arm_items, list(arms.title))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_members_of_other_data_are_not_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "members"
    folder.mkdir()
    (folder / "fingerprint").write_text("of another fit")
    (folder / "click-0.npz").write_bytes(b"not a member")
    model = RewardModel.fit(small(), seed=1, n_members=1, threads=1, checkpoint_dir=folder)
    assert np.isfinite(model.predict(small().arm_items, list(small().title)).reward).all()


def test_evidence_on_held_out_items_tells_the_truth(shop_model: tuple[Shop, RewardModel]) -> None:
    shop, model = shop_model
    arms, rows = held_out(shop)
    found = held_out_figures(model, arms, seed=0)
    assert found is not None
    assert found.pair_accuracy.low < found.pair_accuracy.value < found.pair_accuracy.high
    assert found.pair_accuracy.value > 0.7
    assert found.pair_accuracy_significant is not None
    assert found.pair_accuracy_significant.value > 0.9
    assert 0 < found.picked_lift.low < found.picked_lift.value < found.best_lift + 0.05
    assert found.overdispersion == pytest.approx(1.0, abs=0.3)
    assert found.base_rate == pytest.approx(float(np.average(shop.p_click[rows], weights=arms.exposure)), rel=0.05)
    assert found.calibration_error < 0.3 * found.base_rate
    assert found.hit_chance < found.hit_rate.low < found.hit_rate.value
    assert found.hit_chance == pytest.approx(0.2, abs=0.02)  # five titles per item, and few ties
    assert found.normalised_entropy is not None
    assert 0.9 < found.normalised_entropy < 1.0
    assert found.interval_coverage is not None
    assert 0.75 <= found.interval_coverage <= 0.99
    assert len(found.reliability) == 10
    assert found.to_dict()["pair_accuracy"]["value"] == found.pair_accuracy.value
    one_title = arms.take(np.unique(arms.item_index, return_index=True)[1])
    assert held_out_figures(model, one_title, seed=0) is None


def _without(arms: Arms, **change: object) -> Arms:
    return replace(arms, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arms", "options", "message"),
    [
        (small().take(np.array([0])), {}, "at least 2 items that have 2 titles and a click"),
        (_without(small(), clicks=np.zeros(len(small()))), {}, "hold 0"),
        (small().take(np.zeros(0, dtype=np.int64)), {}, "at least 2 items"),
        (small(), {"n_members": 0}, "n_members must be at least 1. Got 0"),
        (small(), {"click_weight": -1.0}, "click_weight must be a finite number of 0 or more. Got -1.0"),
        (small(), {"click_weight": 0.0}, "are all 0"),
        (small(), {"revenue_weight": 1.0}, "the logs hold no revenue"),
        (_without(small(), conversions=None), {"conversion_weight": 1.0}, "the logs hold no conversion"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(arms: Arms, options: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError) as raised:
        RewardModel.fit(arms, seed=0, **options)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_lengths_must_agree() -> None:
    _, model = fitted("en")
    with pytest.raises(ModelError, match="same length"):
        model.predict([Item("a")], ["a", "b"])


@pytest.mark.parametrize("damage", ["missing", "cut", "other format", "no json", "member cut", "member missing"])
def test_damaged_folders_are_one_clear_line(damage: str, tmp_path: Path) -> None:
    _, model = fitted("en")
    model.save(tmp_path)
    meta, arrays, member = tmp_path / "meta.json", tmp_path / "arrays.npz", tmp_path / "click-1.npz"
    if damage == "missing":
        meta.unlink()
    elif damage == "cut":
        arrays.write_bytes(arrays.read_bytes()[:1000])
    elif damage == "other format":
        meta.write_text('{"format": 99}')
    elif damage == "no json":
        meta.write_bytes(b"\xff\x00")
    elif damage == "member cut":
        member.write_bytes(member.read_bytes()[:200])
    else:
        member.unlink()
    with pytest.raises(ModelError) as raised:
        RewardModel.load(tmp_path)
    assert "fit-reward" in str(raised.value)
    assert "\n" not in str(raised.value)
