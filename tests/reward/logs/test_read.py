"""Reading logs: aggregation, context, propensities, filters, kinds of files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.doctor.examine import examine
from reward.logs.read import read_arms, read_logs
from reward.logs.trim_sql import stripped

from ..log_fixtures import assert_finite, assert_same_arms, impressions_log, mapped, read_csv_text, write_log


def test_single_impressions_and_aggregated_rows_give_the_same_arms(tmp_path: Path) -> None:
    log = impressions_log(0)
    keys = [c for c in log.columns if c not in ("click", "conversions", "revenue")]
    grouped = log.groupby(keys, dropna=False, sort=False)
    counts = grouped.agg(
        impressions=("click", "size"),
        clicks=("click", "sum"),
        conversions=("conversions", "sum"),
        revenue=("revenue", "sum"),
    )
    log.to_parquet(tmp_path / "single.parquet")
    counts.reset_index().to_parquet(tmp_path / "counts.parquet")
    single, aggregated = read_logs(tmp_path / "single.parquet"), read_logs(tmp_path / "counts.parquet")
    assert aggregated.totals.rows < single.totals.rows
    assert_same_arms(single.arms, aggregated.arms)
    assert_finite(single.arms)
    assert single.delay == aggregated.delay


def test_arms_equal_a_plain_group_by(tmp_path: Path) -> None:
    log = impressions_log(1)
    log.to_parquet(tmp_path / "log.parquet")
    arms = read_arms(tmp_path / "log.parquet")
    truth = log.groupby(["item_id", "title"]).agg(
        n=("click", "size"),
        clicks=("click", "sum"),
        conversions=("conversions", "sum"),
        revenue=("revenue", "sum"),
        first=("timestamp", "min"),
        last=("timestamp", "max"),
    )
    assert list(zip(arms.item_ids, arms.title, strict=True)) == sorted(truth.index)
    truth = truth.sort_index()
    assert arms.conversions is not None
    assert arms.revenue is not None
    assert arms.first_seen is not None
    assert arms.last_seen is not None
    for found, name in (
        (arms.impressions, "n"),
        (arms.clicks, "clicks"),
        (arms.conversions, "conversions"),
        (arms.revenue, "revenue"),
        (arms.first_seen, "first"),
        (arms.last_seen, "last"),
    ):
        np.testing.assert_array_equal(found, truth[name].to_numpy(dtype=float), err_msg=name)


def test_csv_parquet_threads_and_files_do_not_change_the_arms(tmp_path: Path) -> None:
    log = impressions_log(2)
    log["price"] = "$" + log["price"].astype(str)
    log.to_parquet(tmp_path / "log.parquet")
    one = read_arms(tmp_path / "log.parquet", threads=1)
    assert_same_arms(one, read_arms(tmp_path / "log.parquet", threads=2), rtol=0)
    parts = tmp_path / "parts"
    (parts / "day=1").mkdir(parents=True)
    log[:1000].to_csv(parts / "day=1" / "a.csv", index=False)
    log[1000:].to_csv(parts / "b.csv.gz", index=False)
    (parts / "_SUCCESS").write_text("")
    assert_same_arms(one, read_arms(parts))
    log[:2000].to_parquet(tmp_path / "p1.parquet")
    log[2000:].to_parquet(tmp_path / "p2.parquet")
    assert_same_arms(one, read_arms(str(tmp_path / "p?.parquet")), rtol=0)


@pytest.mark.parametrize("ending", ["jsonl", "ndjson.gz"])
def test_json_lines_give_the_same_arms(ending: str, tmp_path: Path) -> None:
    log = impressions_log(3, 400)
    log["attributes"] = [{"颜色": "红", "sizes": [1, 2]} if brand != "brand1" else None for brand in log["brand"]]
    log.to_parquet(tmp_path / "log.parquet")
    log.to_json(tmp_path / f"log.{ending}", orient="records", lines=True, force_ascii=False)
    parquet, lines = read_logs(tmp_path / "log.parquet"), read_logs(tmp_path / f"log.{ending}")
    assert_same_arms(parquet.arms, lines.arms)
    assert parquet.arms.items == lines.arms.items
    assert any(
        "红" in value
        for value in lines.arms.items[0].fields.get("颜色", ()) + lines.arms.items[-1].fields.get("颜色", ())
    )


def test_folders_named_column_value_are_columns(tmp_path: Path) -> None:
    for locale, title in (("en", "shoe"), ("zh", "鞋")):
        folder = tmp_path / "logs" / f"locale={locale}"
        folder.mkdir(parents=True)
        write_log(folder / "part.parquet", {"item_id": [locale], "title": [title], "clicks": [0]})
    arms = read_arms(tmp_path / "logs")
    assert [dict(item.fields) for item in arms.items] == [{"locale": ("en",)}, {"locale": ("zh",)}]


def test_text_ids_keep_leading_zeros_and_quoted_titles(tmp_path: Path) -> None:
    logs = read_csv_text(tmp_path, 'item_id;title;click\r\n007;"a; ""b"",\r\nc";true\r\n007;5" screen;0\r\n')
    assert logs.arms.items[0].item_id == "007"
    assert logs.arms.title.tolist() == ['5" screen', 'a; "b",\r\nc']
    assert logs.arms.clicks.tolist() == [0.0, 1.0]


def test_propensity_is_the_harmonic_mean_over_impressions(tmp_path: Path) -> None:
    logs = read_csv_text(
        tmp_path, "item_id,title,clicks,impressions,propensity\n1,a,0,30,0.5\n1,a,1,10,0.25\n1,b,0,7,0.3\n"
    )
    assert logs.arms.propensity_logged
    np.testing.assert_allclose(logs.arms.propensity, [40 / (30 / 0.5 + 10 / 0.25), 0.3], rtol=1e-12)


def test_propensity_is_estimated_from_traffic_where_it_is_not_logged(tmp_path: Path) -> None:
    text = "item_id,title,clicks,impressions,propensity\n1,a,0,30,\n1,b,0,10,0.9\n2,c,0,5,0.9\n"
    logs = read_csv_text(tmp_path, text)
    assert not logs.arms.propensity_logged
    np.testing.assert_allclose(logs.arms.propensity, [0.75, 0.25, 1.0])
    assert logs.totals.propensity_impressions == 15


def test_context_is_the_most_frequent_value_by_impressions(tmp_path: Path) -> None:
    text = (
        "item_id,title,clicks,impressions,brand,attributes\n"
        '1,a,0,1,Zeta,"{""color"":""red"",""sizes"":[1,2]}"\n'
        "1,a,0,5,Beta,\n"
        "1,b,0,5,Alpha,\n"
        "1,b,0,1,Zeta,\n"
        '2,a,0,2,Beta,"[[""颜色"",""红色""]]"\n'
        "3,a,0,1, ,\n"
    )
    logs = read_csv_text(tmp_path, text)
    assert [dict(item.fields) for item in logs.arms.items] == [
        {"brand": ("Alpha",), "color": ("red",), "sizes": ("1", "2")},
        {"brand": ("Beta",), "颜色": ("红色",)},
        {},
    ]
    assert [item.current_title for item in logs.arms.items] == ["a", "a", "a"]


def test_context_types_become_text(tmp_path: Path) -> None:
    path = write_log(
        tmp_path / "log.parquet",
        {
            "item_id": [7, 7],
            "title": ["a", "b"],
            "clicks": [0, 1],
            "price": np.array([12.0, 12.0]),
            "weight": np.array([0.1, 0.1], dtype=np.float32),
            "tags": [["x", "y"], ["x", "y"]],
            "spec": [{"size": "L", "fit": None}] * 2,
            "vegan": [True, True],
            "nothing": [float("nan")] * 2,
            "blob": [b"\xff", b"\xfe"],
            "surface": ["feed", "feed"],
        },
    )
    logs = read_logs(path)
    assert dict(logs.arms.items[0].fields) == {
        "price": ("12",),
        "weight": ("0.1",),
        "tags": ("x", "y"),
        "size": ("L",),
        "vegan": ("true",),
        "surface": ("feed",),
    }
    assert dict(logs.dropped_columns) == {"blob": "binary data", "nothing": "no values"}
    assert logs.arms.items[0].item_id == "7"


def test_columns_of_the_impression_are_not_context(tmp_path: Path) -> None:
    log = impressions_log(3)
    rng = np.random.default_rng(3)
    log["user_id"] = rng.integers(0, 1_000, len(log))
    log["device"] = rng.choice(["ios", "web"], len(log))
    log["row"] = np.arange(len(log))
    log["price"] = np.where((log.index < 50) & (log["item_id"] == "商品1"), 9.0, log["price"])
    log.to_parquet(tmp_path / "log.parquet")
    logs = read_logs(tmp_path / "log.parquet")
    assert logs.context_columns == ("brand", "price")
    assert list(logs.dropped_columns) == ["user_id", "device", "row"]
    assert logs.arms.items[1].fields["price"] == ("1.5",)


@pytest.mark.parametrize(
    ("exclude", "kept"),
    [
        ({"flag": True}, ["b", "c"]),
        ({"flag": None}, ["a", "b"]),
        ({"flag": [True, None]}, ["b"]),
        ({"week": 2}, ["a", "c"]),
        ({"week": [1.0, 2]}, ["c"]),
        ({"title": "a"}, ["b", "c"]),
        ({"title": "'; DROP TABLE x; --"}, ["a", "b", "c"]),
        ({"week": 1, "flag": False}, ["c"]),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_exclude_leaves_rows_out(tmp_path: Path, exclude: dict[str, object], kept: list[str], kind: str) -> None:
    log = pd.DataFrame(
        {
            "item_id": ["1", "1", "1"],
            "title": ["a", "b", "c"],
            "clicks": [1, 0, 1],
            "flag": pd.array([True, False, None], dtype="boolean"),
            "week": [1, 2, 3],
        }
    )
    path = tmp_path / f"log.{kind}"
    log.to_parquet(path) if kind == "parquet" else log.to_csv(path, index=False)
    assert read_arms(path, exclude=exclude).title.tolist() == kept


def test_keys_join_and_a_missing_part_counts_as_empty(tmp_path: Path) -> None:
    logs = read_csv_text(tmp_path, "t,i,title,clicks\nx,1,a,0\nx,,a,0\n,1,a,1\n", columns=mapped("item_id=t+i"))
    assert [item.item_id for item in logs.arms.items] == ["+1", "x+", "x+1"]
    assert logs.context_columns == ()


@pytest.mark.parametrize(
    "times",
    [
        ["2023-11-14T22:13:20Z", "2023-11-14 22:13:21"],
        ["2023-11-15T00:13:20+02:00", "2023-11-14T22:13:21.000"],
        [1_700_000_000, 1_700_000_001],
        [1_700_000_000_000, 1_700_000_001_000],
        [1_700_000_000_000_000_000, 1_700_000_001_000_000_000],
        [pd.Timestamp("2023-11-14 22:13:20"), pd.Timestamp("2023-11-14 22:13:21")],
        [pd.Timestamp("2023-11-14 22:13:20", tz="UTC"), pd.Timestamp("2023-11-14 22:13:21", tz="UTC")],
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path: Path, times: list[object]) -> None:
    log = pd.DataFrame({"item_id": ["1", "1"], "title": ["a", "a"], "clicks": [0, 1], "timestamp": times})
    log.to_parquet(tmp_path / "log.parquet")
    arms = read_arms(tmp_path / "log.parquet")
    assert arms.first_seen is not None
    assert arms.last_seen is not None
    assert (arms.first_seen[0], arms.last_seen[0]) == (1.7e9, 1.7e9 + 1)


def test_rows_without_impressions_are_ignored(tmp_path: Path) -> None:
    logs = read_csv_text(tmp_path, "item_id,title,clicks,impressions\n1,a,1,4\n1,b,0,0\n")
    assert logs.arms.title.tolist() == ["a"]
    assert logs.totals.empty_rows == 1


def test_exposure_corrects_for_position(tmp_path: Path) -> None:
    """Two positions looked at 3 to 1: the same title clicked 30% and 10% has one debiased rate."""
    text = "item_id,title,clicks,impressions,position\n1,a,30000,100000,1\n1,a,10000,100000,2\n1,b,15000,50000,1\n"
    logs = read_csv_text(tmp_path, text)
    bias = logs.position_bias
    assert bias is not None
    np.testing.assert_allclose(bias.theta[0] / bias.theta[1], 3, rtol=2e-3)
    np.testing.assert_allclose(logs.arms.exposure.sum(), 250_000, rtol=1e-9)
    rates = logs.arms.clicks / logs.arms.exposure
    np.testing.assert_allclose(rates[0], rates[1], rtol=2e-3)


def test_repeated_rows_tell_overdispersion(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rates = rng.gamma(20, 0.1 / 20, 4_000)
    for name, clicks in (("plain", rng.binomial(1_000, 0.1, 4_000)), ("over", rng.binomial(1_000, rates))):
        columns = {
            "item_id": [str(i // 4) for i in range(4_000)],
            "title": ["t"] * 4_000,
            "clicks": clicks,
            "impressions": [1_000] * 4_000,
        }
        found = read_logs(write_log(tmp_path / f"{name}.parquet", columns)).overdispersion
        # Binomial variance over chance is 1; with rates of variance p^2 / 20 it grows by n p / 20 / (1 - p).
        truth = 1.0 if name == "plain" else 1 + 999 * 0.1 / 20 / 0.9
        assert found == pytest.approx(truth, rel=0.1)


def test_upworthy_equals_a_plain_group_by(shared_data: Path) -> None:
    path = shared_data / "upworthy" / "packages.parquet"
    columns = mapped("title=headline,item_id=clickability_test_id+eyecatcher_id")
    logs = read_logs(path, columns=columns, exclude={"randomization_problem": True})
    log = pd.read_parquet(path)
    log = log[~log["randomization_problem"]]
    key = log["clickability_test_id"].fillna("") + "+" + log["eyecatcher_id"].fillna("")
    truth = log.groupby([key, log["headline"].map(stripped)])[["impressions", "clicks"]].sum().sort_index()
    assert list(zip(logs.arms.item_ids, logs.arms.title, strict=True)) == truth.index.tolist()
    np.testing.assert_array_equal(logs.arms.impressions, truth["impressions"])
    np.testing.assert_array_equal(logs.arms.clicks, truth["clicks"])
    assert logs.context_columns == ("test_week", "excerpt", "lede")
    assert_finite(logs.arms)


def test_open_bandit_logs_are_read(shared_data: Path) -> None:
    path = shared_data / "open_bandit" / "bts_men.parquet"
    arms = read_arms(path, columns=mapped("title=item_id,item_id=user_feature_0,propensity=propensity_score"))
    assert arms.propensity_logged
    assert arms.impressions.sum() == 10_000
    assert_finite(arms)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([20240131, 20240201], (1706659200.0, 1706745600.0)),
        (["20240131", "20240201"], (1706659200.0, 1706745600.0)),
        ([20240131.0, 20240201.0], (1706659200.0, 1706745600.0)),
        (["20240131.0", "20240201.0"], (1706659200.0, 1706745600.0)),
    ],
)
def test_eight_digits_are_a_day(tmp_path: Path, times: list[object], seconds: tuple[float, float]) -> None:
    path = write_log(
        tmp_path / "log.parquet", {"item_id": ["1", "1"], "title": ["a", "a"], "clicks": [0, 1], "timestamp": times}
    )
    for file in (path, tmp_path / "log.csv", tmp_path / "log.jsonl"):
        frame = pd.DataFrame({"item_id": ["1", "1"], "title": ["a", "a"], "clicks": [0, 1], "timestamp": times})
        if file.suffix == ".csv":
            frame.to_csv(file, index=False)
        elif file.suffix == ".jsonl":
            frame.to_json(file, orient="records", lines=True)
        arms = read_arms(file)
        assert arms.first_seen is not None
        assert arms.last_seen is not None
        assert (arms.first_seen[0], arms.last_seen[0]) == seconds, file.suffix


def test_counts_near_the_limit_have_exposure(tmp_path: Path) -> None:
    """Impressions times a weight of nine digits pass 64 bits."""
    columns = {
        "item_id": ["1"] * 4,
        "title": ["a", "a", "b", "b"],
        "impressions": [10**12] * 4,
        "clicks": [10**10] * 4,
        "position": [1, 2, 1, 2],
        "timestamp": [1.7e9] * 4,
        "conversions": [10**9] * 4,
        "conversion_delay_hours": [1.0] * 4,
    }
    arms = read_arms(write_log(tmp_path / "log.parquet", columns))
    np.testing.assert_allclose(arms.exposure, 2e12, rtol=1e-6)
    assert_finite(arms)


def test_a_first_position_that_nobody_clicked_leaves_exposure(tmp_path: Path) -> None:
    text = "item_id,title,clicks,impressions,position\n1,a,0,100000,1\n1,a,5000,100000,2\n1,b,0,1000,1\n"
    logs = read_csv_text(tmp_path, text)
    assert_finite(logs.arms)
    assert logs.arms.exposure[1] < 10
    assert any(finding.topic == "positions" for finding in examine(logs).findings)
