"""Logs of a plan: the same arms and findings as with a column of the propensities, and no plan is believed wrongly."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.doctor.examine import examine
from reward.errors import LogError
from reward.logs.read import LogData, read_logs
from rlopt.assignment_hash import title_of, uniform

ITEMS, UNITS = 16, 600
TITLES = ("商品 a", "Title b", "Title c")
ALONE = "left alone"


def plan_of(first: float, second: float, decided: Sequence[str] = ()) -> pd.DataFrame:
    """Three titles of each item, or the last one alone."""
    chances = dict(zip(TITLES, (first, second, 1 - first - second), strict=True))
    rows = [(f"item-{i:02}", title, chance) for i in range(ITEMS) for title, chance in chances.items()]
    rows = [row for row in rows if row[0] not in decided] + [(item_id, TITLES[2], 1.0) for item_id in decided]
    return pd.DataFrame(rows, columns=["item_id", "title", "probability"])


def shown_by(plan: pd.DataFrame, batch: int, rate: float, seed: int = 5) -> pd.DataFrame:
    """One row an impression, drawn by the hash; clicks of the third title are half as many again."""
    rng = np.random.default_rng(batch)
    rows = []
    for item_id, titles in plan.groupby("item_id"):
        for unit in range(UNITS):
            u = uniform(seed, str(item_id), f"{batch}-{unit}")
            rows.append((item_id, title_of(titles.title.tolist(), titles.probability.tolist(), u)))
    rows += [(ALONE, "only one")] * UNITS
    log = pd.DataFrame(rows, columns=["item_id", "title"])
    log["clicks"] = (rng.random(len(log)) < rate * np.where(log.title == TITLES[2], 1.5, 1.0)).astype(int)
    log["batch"] = batch
    log["timestamp"] = 1.7e9 + 86400.0 * batch + rng.integers(0, 80_000, len(log))
    return log


def with_chances(log: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """The log with a column of the propensities."""
    joined = log.merge(plan, how="left", on=["item_id", "title"]).rename(columns={"probability": "propensity"})
    return joined.fillna({"propensity": 1.0})


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path)
    return path


def same(ours: LogData, other: LogData) -> None:
    """Equal arms, and equal findings but for what was left out."""
    for field in fields(ours.arms):
        one, two = (getattr(logs.arms, field.name) for logs in (ours, other))
        assert np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two, field.name
    told = [[f for f in examine(logs).findings if "left out" not in f.message] for logs in (ours, other)]
    assert told[0] == told[1]
    assert ours.totals == other.totals
    assert examine(ours).assignment == "logged"


def test_a_plan_is_worth_a_column_of_propensities(tmp_path: Path) -> None:
    plan = plan_of(0.6, 0.1)
    log = shown_by(plan, 0, 0.1)
    explicit = written(with_chances(log, plan), tmp_path / "explicit.parquet")
    ours = read_logs(written(log, tmp_path / "log.parquet"), plans=[str(written(plan, tmp_path / "plan.parquet"))])
    plan.to_csv(tmp_path / "plan.csv", index=False)
    log.assign(title="  " + log.title + " ").to_csv(tmp_path / "log.csv", index=False)
    same(ours, read_logs(explicit))
    assert ours.notes == ()
    padded = read_logs(tmp_path / "log.csv", plans=[str(tmp_path / "plan.csv")])
    assert padded.arms.propensity.tolist() == ours.arms.propensity.tolist()
    assert padded.arms.clicks.tolist() == ours.arms.clicks.tolist()
    assert examine(ours).sample_ratio.agrees


@pytest.mark.parametrize("by_day", [False, True])
def test_each_batch_has_its_plan_and_decided_items_teach_no_more(tmp_path: Path, by_day: bool) -> None:
    decided = ["item-00", "item-01"]
    plans = [plan_of(0.6, 0.1), plan_of(0.2, 0.3, decided)]
    logs = [shown_by(plan, batch, rate) for batch, (plan, rate) in enumerate(zip(plans, (0.1, 0.2), strict=True))]
    log = pd.concat(logs)
    names = ["0", "1"]
    if by_day:
        log, names = log.drop(columns="batch"), ["2023-11-14T22:13", "2023-11-15T22:13:20+00:00"]
    options = [
        f"{name}={written(p, tmp_path / f'plan-{n}.parquet')}"
        for n, (name, p) in enumerate(zip(names, plans, strict=True))
    ]
    ours = read_logs(written(log, tmp_path / "log.parquet"), plans=options[::-1])
    explicit = pd.concat([with_chances(part, plan) for part, plan in zip(logs, plans, strict=True)])
    explicit = explicit[~(explicit.item_id.isin(decided) & (explicit.batch == 1))][[*log.columns, "propensity"]]
    same(ours, read_logs(written(explicit, tmp_path / "explicit.parquet")))
    assert f"{2 * UNITS:,} impressions of 2 items" in ours.notes[0]
    assert ours.weighted is not None
    assert examine(ours).sample_ratio.agrees
    third = ours.arms.title == TITLES[2]
    rates = [ours.arms.clicks[rows].sum() / ours.arms.exposure[rows].sum() for rows in (third, ~third)]
    assert rates[0] / rates[1] == pytest.approx(1.5, rel=0.1)  # although more of its impressions are of the better day


def test_a_wrong_plan_is_found_out(tmp_path: Path) -> None:
    log = written(shown_by(plan_of(0.6, 0.1), 0, 0.1), tmp_path / "log.parquet")
    other = written(plan_of(0.3, 0.3), tmp_path / "plan.parquet")
    report = examine(read_logs(log, plans=[str(other)]))
    assert report.sample_ratio.mismatched == ITEMS
    assert {finding.kind for finding in report.findings if finding.consequence == "doubt"} == {"sample_ratio"}


def test_what_a_plan_cannot_explain_is_one_line(tmp_path: Path) -> None:
    plan, log = plan_of(0.6, 0.1), shown_by(plan_of(0.6, 0.1), 0, 0.1).head(2000)
    good = written(plan, tmp_path / "plan.parquet")
    strange = log.assign(title=log.title.where(log.index != 7, "新 title"))
    elsewhere = plan.assign(item_id="x" + plan.item_id)
    for rows, options, told in (
        (strange, [good], r"1 impressions \(0.1%\) of 1 planned items .* first '新 title' of item 'item-00'"),
        (with_chances(log, plan), [good], "has propensities of its own"),
        (log, [tmp_path / "no.parquet"], "there is no file"),
        (log, [written(elsewhere, tmp_path / "x.parquet")], "shows no item of"),
        (log, [written(plan.head(5), tmp_path / "half.parquet")], "'item-01' add up to 0.7"),
        (log, [written(plan.assign(probability=2.0), tmp_path / "two.parquet")], "row 1, has probability 2.0"),
        (log, [written(pd.concat([plan, plan]), tmp_path / "twice.parquet")], "a second time"),
        (log, [written(log, tmp_path / "log-too.parquet")], "no column probability"),
        (log, [good, good], "which rows are of which"),
        (log, [f"7={good}"], "2,000 impressions .* of no plan: there are those of 7"),
        (log.drop(columns="batch"), [f"monday={good}"], "say from which day"),
        (log.drop(columns="batch"), [f"2030-01-01={good}"], "of no plan"),
        (log.drop(columns=["batch", "timestamp"]), [f"1={good}"], "neither a column batch nor a timestamp"),
    ):
        file = written(rows, tmp_path / "log.parquet")
        with pytest.raises(LogError, match=told):
            read_logs(file, plans=[str(option) for option in options])


def test_titles_that_no_plan_knows_are_left_out_where_they_replaced_one_another(tmp_path: Path) -> None:
    plan = plan_of(0.6, 0.1)
    log = shown_by(plan, 0, 0.1)
    log.loc[log.index[-50:], "title"] = "its next title"
    ours = read_logs(written(log, tmp_path / "log.parquet"), plans=[str(written(plan, tmp_path / "plan.parquet"))])
    assert ALONE not in ours.arms.item_ids
    assert f"{UNITS:,} impressions of 1 items (first: 'left alone') are left out" in ours.notes[0]
