"""Files that come after the logs, with the user's own column names; the log doctor's command."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from reward.items import Item
from rlopt.errors import RunError
from rlopt.run import Run
from rlopt.stages.common.columns import GENERATED, SCORED, column_mapping, ignored_columns, mapping_for
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.score import score
from tests.conftest import Outcome

Rlopt = Callable[..., Outcome]


def table(n_items: int = 40) -> dict[str, list[object]]:
    """Arms of tests with images: the number in a title earns clicks."""
    rng = np.random.default_rng(3)
    rows: dict[str, list[object]] = {
        name: [] for name in ("test", "image", "headline", "impressions", "clicks", "topic")
    }
    for i in range(n_items):
        for title in (f"{3 + i} ways to see a dog", f"A dog named {chr(65 + i % 26)}", "See this dog"):
            shown = 4000
            rate = 0.05 if title[0].isdigit() else 0.03
            for name, value in zip(
                rows, (f"t{i}", f"i{i}", f"{title} {i}", shown, int(rng.binomial(shown, rate)), "dogs"), strict=True
            ):
                rows[name].append(value)
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("mapped")
    pq.write_table(pa.table(table()), folder / "logs.parquet")
    run = Run.open(folder / "run", create=True)
    fit_reward(run, folder / "logs.parquet", columns="item_id=test+image,title=headline")
    return run


def test_flags_go_before_the_preset() -> None:
    mapping = column_mapping("title=headline", {"columns": {"title": "name", "item_id": ["a", "b"]}})
    assert mapping.to_dict() == {"title": "headline", "item_id": "a+b"}


def test_the_runs_mapping_serves_files_that_lack_the_canonical_names(run: Run, tmp_path: Path) -> None:
    rows = table()
    pq.write_table(pa.table({name: rows[name] for name in ("test", "image", "headline")}), tmp_path / "a.parquet")
    own = {"item_id": [f"{a}+{b}" for a, b in zip(rows["test"], rows["image"], strict=True)], "title": rows["headline"]}
    pq.write_table(pa.table({**own, "headline": ["?"] * len(own["title"])}), tmp_path / "b.parquet")
    assert mapping_for(run, tmp_path / "a.parquet", None).to_dict() == {"item_id": "test+image", "title": "headline"}
    assert mapping_for(run, tmp_path / "b.parquet", None).to_dict() == {}
    assert mapping_for(run, tmp_path / "b.parquet", "title=headline").to_dict() == {"title": "headline"}
    with pytest.raises(LogError, match="takes name=column"):
        mapping_for(run, tmp_path / "b.parquet", "title")


def test_score_knows_the_items_of_the_logs_and_finds_what_earns(run: Run, tmp_path: Path) -> None:
    rows = table()
    pq.write_table(pa.table({name: rows[name] for name in ("test", "image", "headline")}), tmp_path / "in.parquet")
    result = score(run, tmp_path / "in.parquet", tmp_path / "out.parquet")
    scored = pq.read_table(tmp_path / "out.parquet")
    assert scored.column_names == [
        "test", "image", "headline", "p_click", "p_conversion", "reward", "reward_std", "support", "lift",
        "lift_std", "far",
    ]  # fmt: skip
    assert (result.titles, result.items) == (120, 40)
    with_number = np.array([str(title)[0].isdigit() for title in rows["headline"]])
    p_click = scored["p_click"].to_numpy()
    assert p_click[with_number].mean() > 1.3 * p_click[~with_number].mean()
    assert scored["p_conversion"].null_count == 120  # these logs have no conversions
    assert (scored["reward_std"].to_numpy() > 0).all()


def test_score_reads_and_writes_csv_and_replaces_old_predictions(run: Run, tmp_path: Path) -> None:
    content = "item_id,title,reward\nt1+i1,3 ways to see,99\nnew,A dog,99\n"
    (tmp_path / "in.csv").write_text(content, encoding="utf-8")
    score(run, tmp_path / "in.csv", tmp_path / "out.csv")
    scored = pa_csv.read_csv(tmp_path / "out.csv")
    assert scored.column_names[:2] == ["item_id", "title"]
    assert scored.column_names.count("reward") == 1
    assert max(scored["reward"].to_pylist()) < 1


def test_csv_cannot_hold_nested_columns(run: Run, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["t0+i0"], "title": ["b"], "tags": [["x"]]}), tmp_path / "in.parquet")
    with pytest.raises(RunError, match=r"nested column 'tags'.*out\.parquet"):
        score(run, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_check_logs_speaks_and_refuses(rlopt: Rlopt, tmp_path: Path) -> None:
    rows = table()
    pq.write_table(pa.table(rows), tmp_path / "logs.parquet")
    names = ("--columns", "item_id=test+image,title=headline")
    good = rlopt("check-logs", tmp_path / "logs.parquet", *names)
    assert good.code == 0
    assert "fit-reward takes these logs." in good.out
    pq.write_table(pa.table({**rows, "clicks": [0] * 120}), tmp_path / "bad.parquet")
    bad = rlopt("check-logs", tmp_path / "bad.parquet", *names, "--json")
    assert bad.code == 1
    assert bad.json["usable"] is False
    assert any(finding["severity"] == "stop" for finding in bad.json["findings"])
    text = rlopt("check-logs", tmp_path / "bad.parquet", *names)
    assert "X There is no click at all" in text.out


def test_simulated_logs_bring_their_market_real_ones_do_not(fitted_run: Path, run: Run) -> None:
    from rlopt.stages.common.truth import market_of, truth_of

    market = market_of(Run.open(fitted_run))
    assert market is not None
    item = market.items[0]
    title = market.logging_policy(item)[0][0]
    truth = truth_of(Run.open(fitted_run))
    assert truth is not None
    assert truth([item], [title])[0] == market.true_value(item, title)
    assert truth_of(run) is None


def test_titles_that_rlopt_wrote_are_scored_like_bare_ones(run: Run, tmp_path: Path) -> None:
    """Other columns that rlopt wrote are no fields of the item; a user's own column of such a name still is."""
    rows = table(8)
    bare = {
        "item_id": [f"{a}+{b}" for a, b in zip(rows["test"], rows["image"], strict=True)],
        "title": rows["headline"],
    }
    n = len(bare["title"])
    written = {name: [f"dogs {name} {i}" for i in range(n)] for name in GENERATED}
    for name, columns in (("bare", bare), ("written", {**bare, **written}), ("own", {**bare, "reason": ["cats"] * n})):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        score(run, tmp_path / f"{name}.parquet", tmp_path / f"{name}-scored.parquet")
    scored = {name: pq.read_table(tmp_path / f"{name}-scored.parquet") for name in ("bare", "written")}
    for column in SCORED:
        assert scored["written"][column].to_pylist() == scored["bare"][column].to_pylist(), column
    again = score(run, tmp_path / "bare-scored.parquet", tmp_path / "again.parquet")
    assert again.mean_reward == pytest.approx(float(np.mean(scored["bare"]["reward"].to_pylist())))
    assert ignored_columns(run, tmp_path / "own.parquet") & {"reason"} == set()


def test_a_column_more_leaves_the_fields_of_the_logs(run: Run, tmp_path: Path) -> None:
    """A note beside the title takes nothing from what the logs know of the item, and adds nothing new."""
    logged = next(item for item in run.arms().items if item.item_id == "t1+i1")
    assert dict(logged.fields) == {"topic": ("dogs",)}
    cases = [
        (Item("t1+i1"), {"topic": ("dogs",)}, logged.current_title),
        (Item("t1+i1", {"note": ("x",)}), {"topic": ("dogs",)}, logged.current_title),
        (Item("t1+i1", {"topic": ("cats",)}, "Mine"), {"topic": ("cats",)}, "Mine"),
        (Item("new", {"note": ("x",), "topic": ("cats",)}), {"topic": ("cats",)}, None),
    ]
    for item, fields, title in cases:
        (found,) = OpenedRun(run).with_known_fields([item])
        assert (found.item_id, dict(found.fields), found.current_title) == (item.item_id, fields, title)
    rows = {"item_id": ["t1+i1"] * 2, "title": ["3 ways to see", "A dog"]}
    for name, more in (("bare", {}), ("note", {"note": ["x", "y"]})):
        pq.write_table(pa.table({**rows, **more}), tmp_path / f"{name}.parquet")
        score(run, tmp_path / f"{name}.parquet", tmp_path / f"{name}-scored.parquet")
    bare, note = (pq.read_table(tmp_path / f"{name}-scored.parquet") for name in ("bare", "note"))
    assert note["p_click"].to_pylist() == bare["p_click"].to_pylist()


def test_columns_that_the_run_does_not_know_change_no_score_and_are_named_once(
    fitted_run: Path, simulated_logs: Path, tmp_path: Path, rlopt: Rlopt
) -> None:
    logged = pq.read_table(simulated_logs).drop_columns(["impressions", "clicks", "conversions"])
    known = logged.slice(0, 30).drop_columns([name for name in SCORED if name in logged.column_names])
    strangers = known.append_column("our_title", known["title"]).append_column("nested", pa.array([{"stock": 3}] * 30))
    found = {}
    for name, rows in {"plain": known, "strangers": strangers}.items():
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        told = rlopt("score", tmp_path / f"{name}.parquet", "-o", tmp_path / "out.parquet", "--run", fitted_run)
        assert told.code == 0
        assert told.err.count("our_title and stock are left out") == int(name == "strangers")
        found[name] = pq.read_table(tmp_path / "out.parquet").select(list(SCORED)).to_pydict()
    assert found["plain"] == found["strangers"]


def test_fields_that_the_run_does_not_know_describe_no_item(run: Run, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"test": ["x"], "headline": ["See this dog"], "copy": ["See this dog"]}), tmp_path / "a.parquet"
    )
    with pytest.raises(LogError, match=r"None of the 1 item ids .* no other column that describes them and that the"):
        score(run, tmp_path / "a.parquet", tmp_path / "out.parquet", columns="item_id=test,title=headline")
