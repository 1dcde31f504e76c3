"""The logs: their rates are the market's truth, their propensities hold, and files appear whole or not at all."""

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import integrate, stats

from envs import simulate as module
from envs.errors import SimulationError
from envs.market import Market
from envs.position import MAX_LIFT, POSITION_LIFT, POSITION_SHARE, arm_positions
from envs.simulate import SimulatedLogs, matured_share, simulate
from reward.items import Item, flatten_fields
from reward.logs.read import read_arms, read_items

N = 600_000
CONTEXT = ["locale", "category", "brand", "price", "attributes"]


@pytest.fixture(scope="module", params=["en", "zh"])
def shop(request: pytest.FixtureRequest) -> Market:
    return Market(25, request.param, seed=2)


@pytest.fixture(scope="module")
def logs(shop: Market, tmp_path_factory: pytest.TempPathFactory) -> SimulatedLogs:
    return simulate(shop, N, tmp_path_factory.mktemp("logs") / "logs.parquet")


def arm_truth(shop: Market) -> dict[tuple[str, str], tuple[float, float, float]]:
    """(item id, title) -> propensity, click and conversion probability."""
    out = {}
    for item in shop.items:
        for title, share in shop.logging_policy(item):
            p = shop.click_probability([item], [title])[0]
            out[item.item_id, title] = (share, float(p), float(shop.conversion_probability([item], [title])[0]))
    return out


def p_of_chi2(observed: np.ndarray, expected: np.ndarray, dof: int) -> float:
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), dof))


def test_clicks_come_at_the_true_rate_of_every_arm(shop: Market, logs: SimulatedLogs) -> None:
    table = pq.read_table(logs.logs).group_by(["item_id", "title"]).aggregate([("click", "sum"), ("click", "count")])
    truth = arm_truth(shop)
    shown = table["click_count"].to_numpy()
    p = np.array([truth[key][1] for key in zip(*(table[c].to_pylist() for c in ("item_id", "title")), strict=True)])
    z = (table["click_sum"].to_numpy() - shown * p) / np.sqrt(shown * p * (1 - p))
    assert np.abs(z).max() < 5
    assert stats.chi2.sf((z**2).sum(), len(z)) > 1e-3


def test_propensities_are_the_frequencies(shop: Market, logs: SimulatedLogs) -> None:
    table = pq.read_table(logs.logs)
    counts = table.group_by(["item_id", "title", "propensity"]).aggregate([("click", "count")]).to_pylist()
    truth = arm_truth(shop)
    assert len(counts) == len(truth)
    assert all(row["propensity"] == truth[row["item_id"], row["title"]][0] for row in counts)
    totals = {row["item_id"]: 0 for row in counts}
    for row in counts:
        totals[row["item_id"]] += row["click_count"]
    observed = np.array([row["click_count"] for row in counts])
    expected = np.array([totals[row["item_id"]] * row["propensity"] for row in counts])
    assert p_of_chi2(observed, expected, len(counts) - len(totals)) > 1e-3


def test_positions_follow_the_examination_model(shop: Market, logs: SimulatedLogs) -> None:
    table = pq.read_table(logs.logs, columns=["position", "click"])
    position = table["position"].to_numpy() - 1
    assert p_of_chi2(np.bincount(position, minlength=10), N * POSITION_SHARE, 9) > 1e-3
    clicked = np.bincount(position[table["click"].to_numpy(zero_copy_only=False)], minlength=10)
    rate = clicked.sum() / N
    expected = np.bincount(position, minlength=10) * rate * POSITION_LIFT
    assert p_of_chi2(clicked, expected, 9) > 1e-3
    assert pytest.approx(1.0, abs=1e-12) == POSITION_SHARE @ POSITION_LIFT
    best = max(p for _, p, _ in arm_truth(shop).values())
    assert best * MAX_LIFT < 1


def test_conversions_are_delayed_and_cut_at_the_end(shop: Market, logs: SimulatedLogs) -> None:
    table = pq.read_table(logs.logs)
    converted = table["conversions"].to_numpy().astype(bool)
    clicked = table["click"].to_numpy(zero_copy_only=False)
    assert not (converted & ~clicked).any()
    delay = table["conversion_delay_hours"]
    assert np.array_equal(pc.is_valid(delay).to_numpy(zero_copy_only=False), converted)
    hours = (table["timestamp"].to_numpy() - np.datetime64("2026-01-05", "ms")) / np.timedelta64(1, "h")
    assert (np.diff(hours) >= 0).all()
    assert 0 <= hours[0] < hours[-1] <= 28 * 24
    assert (hours[converted] + delay.drop_null().to_numpy() <= 28 * 24).all()
    assert delay.drop_null().to_numpy().min() >= 0

    truth = arm_truth(shop)
    keys = zip(table["item_id"].to_pylist(), table["title"].to_pylist(), strict=True)
    chance = np.array([truth[key][2] for key, hit in zip(keys, clicked, strict=True) if hit]) * matured_share(28)
    z = (converted.sum() - chance.sum()) / np.sqrt((chance * (1 - chance)).sum())
    assert abs(z) < 4


@pytest.mark.parametrize("days", [0.5, 7.0, 28.0])
def test_matured_share_is_the_integral_of_the_delay_distribution(days: float) -> None:
    hours = 24 * days

    def seen(t: float) -> float:
        return 0.6 * (1 - np.exp(-(hours - t) / 3.0)) + 0.4 * (1 - np.exp(-(hours - t) / 72.0))

    assert matured_share(days) == pytest.approx(integrate.quad(seen, 0, hours, epsabs=1e-10)[0] / hours, rel=1e-8)


def test_arm_rows_have_the_same_rates(shop: Market, tmp_path: Path) -> None:
    out = simulate(shop, N, tmp_path / "arms.parquet", rows="arms")
    rows = pq.read_table(out.logs).to_pylist()
    truth = arm_truth(shop)
    assert (out.rows, out.impressions) == (len(rows), N)
    assert sum(row["impressions"] for row in rows) == N
    assert sum(row["clicks"] for row in rows) == out.clicks
    assert list(rows[0]) == [
        "item_id", "title", "impressions", "clicks", "conversions", "propensity", *CONTEXT,
    ]  # fmt: skip
    shown = np.array([row["impressions"] for row in rows])
    p = np.array([truth[row["item_id"], row["title"]][1] for row in rows])
    z = (np.array([row["clicks"] for row in rows]) - shown * p) / np.sqrt(shown * p * (1 - p))
    assert stats.chi2.sf((z**2).sum(), len(z)) > 1e-3
    clicks = np.array([row["clicks"] for row in rows])
    q = np.array([truth[row["item_id"], row["title"]][2] for row in rows]) * matured_share(28)
    assert abs(out.conversions - clicks @ q) < 4 * np.sqrt(clicks @ (q * (1 - q)))


def test_confounded_positions_bias_the_raw_rate_and_not_the_debiased_one(shop: Market, tmp_path: Path) -> None:
    out = simulate(shop, N, tmp_path / "logs.parquet", position_confounding=3.0)
    table = pq.read_table(out.logs, columns=["item_id", "title", "position", "click"])
    lift = POSITION_LIFT[table["position"].to_numpy() - 1]
    table = table.append_column("exposure", [lift]).append_column("one", [np.ones(N)])
    arms = table.group_by(["item_id", "title"]).aggregate([("click", "sum"), ("exposure", "sum"), ("one", "sum")])
    truth = arm_truth(shop)
    p = np.array([truth[key][1] for key in zip(*(arms[c].to_pylist() for c in ("item_id", "title")), strict=True)])
    clicks = arms["click_sum"].to_numpy()
    chi2 = {
        name: float(((clicks - p * arms[f"{name}_sum"].to_numpy()) ** 2 / (p * arms[f"{name}_sum"].to_numpy())).sum())
        for name in ("one", "exposure")
    }
    assert stats.chi2.sf(chi2["one"], len(p)) < 1e-12
    assert stats.chi2.sf(chi2["exposure"], len(p)) > 1e-3


def test_arm_positions_without_confounding_are_the_shared_mix() -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(arm_positions(0.0, 4, rng), np.tile(POSITION_SHARE, (4, 1)), rtol=1e-12)
    np.testing.assert_allclose(arm_positions(2.0, 50, rng).sum(axis=1), 1.0, rtol=1e-12)


def test_context_columns_are_the_fields_of_the_items(shop: Market, logs: SimulatedLogs) -> None:
    rows = pq.read_table(logs.items).to_pylist()
    read = [Item(row.pop("item_id"), flatten_fields(row)) for row in rows]
    assert read == list(shop.items)
    logged = pq.ParquetFile(logs.logs).read_row_group(0).slice(0, 50).to_pylist()
    fields = {item.item_id: item.fields for item in shop.items}
    for row in logged:
        assert flatten_fields({name: row[name] for name in CONTEXT}) == fields[row["item_id"]]
    assert Market.load(logs.market).items == shop.items


def test_the_log_reader_finds_the_shop_again(shop: Market, logs: SimulatedLogs) -> None:
    assert read_items(logs.items) == list(shop.items)
    arms = read_arms(logs.logs)
    truth = arm_truth(shop)
    assert {item.item_id: item.fields for item in arms.items} == {item.item_id: item.fields for item in shop.items}
    keys = list(zip(arms.item_ids, arms.title, strict=True))
    assert arms.propensity_logged
    np.testing.assert_allclose(arms.propensity, [truth[key][0] for key in keys])
    assert arms.clicks.sum() == logs.clicks
    assert arms.conversions is not None
    assert arms.conversions.sum() == logs.conversions


def test_same_seed_same_logs_and_other_seed_other_clicks(shop: Market, tmp_path: Path) -> None:
    outs = [simulate(shop, 20_000, tmp_path / f"{i}.parquet", seed=seed) for i, seed in enumerate((None, 2, 3))]
    tables = [pq.read_table(out.logs) for out in outs]
    assert tables[0].equals(tables[1])  # the market's own seed is 2
    assert not tables[0].equals(tables[2])


def test_chunks_stream_and_report_progress(shop: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 3_000)
    seen: list[int] = []
    out = simulate(shop, 10_000, tmp_path / "logs.parquet", progress=seen.append)
    assert seen == [3_000, 6_000, 9_000, 10_000]
    assert pq.ParquetFile(out.logs).num_row_groups == 4
    time = pq.read_table(out.logs)["timestamp"].to_numpy()
    assert (np.diff(time) >= np.timedelta64(0)).all()
    json.dumps(out.to_dict())


def test_a_failure_leaves_what_was_there(shop: Market, tmp_path: Path) -> None:
    first = simulate(shop, 1_000, tmp_path / "logs.parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(shop, 1_000, first.logs, seed=9, progress=stop)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bad_arguments(shop: Market, tmp_path: Path) -> None:
    out = tmp_path / "logs.parquet"
    with pytest.raises(SimulationError, match=r"impressions must be 1 or more. Got 0"):
        simulate(shop, 0, out)
    with pytest.raises(SimulationError, match=r"days must be above 0. Got 0"):
        simulate(shop, 1, out, days=0)
    with pytest.raises(SimulationError, match=r"rows must be 'impressions' or 'arms'. Got 'x'"):
        simulate(shop, 1, out, rows="x")  # type: ignore[arg-type]
    with pytest.raises(SimulationError, match=r"position_confounding must be 0 or more. Got -1"):
        simulate(shop, 1, out, position_confounding=-1)
    with pytest.raises(SimulationError, match=r"cannot write .*No such file or directory"):
        simulate(shop, 1, tmp_path / "nowhere" / "logs.parquet")
    with pytest.raises(SimulationError, match="it is a folder"):
        simulate(shop, 1, tmp_path)
    with pytest.raises(SimulationError, match=r"must end in .parquet. Got .*logs.csv"):
        simulate(shop, 1, tmp_path / "logs.csv")
    assert list(tmp_path.iterdir()) == []
