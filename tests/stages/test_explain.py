"""From logs to the evidence, the card, an explanation and scored titles of one small run."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from envs.market import Market
from envs.simulate import simulate
from rlopt.config import RewardConfig
from rlopt.errors import RunError, StageOrderError
from rlopt.run import Run
from rlopt.stages.explain import explain_title
from rlopt.stages.fit_reward.stage import FitRewardResult, fit_reward
from rlopt.stages.score import score

ITEMS = 120


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, FitRewardResult, Path]:
    """A run on the logs of a small Chinese shop, its result, and the logs."""
    folder = tmp_path_factory.mktemp("explain")
    logs = folder / "logs.parquet"
    simulate(Market(ITEMS, "zh", seed=3), 600_000, logs, rows="arms")
    run = Run.open(folder / "run", create=True)
    return run, fit_reward(run, logs, RewardConfig(members=2)), logs


def test_evidence_is_printed_saved_and_on_the_card(fitted: tuple[Run, FitRewardResult, Path]) -> None:
    run, result, _ = fitted
    folder = run / "reward"
    saved = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    assert saved == result.to_dict()["evidence"]
    assert FitRewardResult.of(run) == result
    curve = [point["items"] for point in saved["learning_curve"]]
    assert curve == sorted(curve)
    assert curve[-1] == result.train
    assert saved["randomised"] is True
    assert sum(topic["gain_share"] for topic in saved["topics"].values()) == pytest.approx(1.0)
    text = result.to_text()
    for part in ("blind pick", "normalised entropy", "90% intervals hold", "linear part", "correlates with clicks"):
        assert part in text
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert saved["effects"][0]["property"] in card
    for name in ("effects.svg", "reliability.svg", "learning_curve.svg"):
        assert f"({name})" in card
        ElementTree.parse(folder / name)  # noqa: S314  our own output


def test_a_title_is_explained(fitted: tuple[Run, FitRewardResult, Path]) -> None:
    run, _, _ = fitted
    arms = run.arms()
    item, title = arms.items[0].item_id, str(arms.title[arms.item_index == 0][0])
    found = explain_title(run, f"{title} 饕餮", item)
    assert found.explanation.nearest[0].title == title
    assert "饕餮" in found.explanation.unsupported
    assert found.to_dict()["out_of_distribution"] is True
    text = found.to_text()
    for part in (item, "P(click)", "unlike any logged title", "Words no logged title holds: 饕餮"):
        assert part in text


def test_an_unknown_item_is_one_line_with_the_nearest_ids(fitted: tuple[Run, FitRewardResult, Path]) -> None:
    run, _, _ = fitted
    known = run.arms().items[7].item_id
    with pytest.raises(RunError) as raised:
        explain_title(run, "x", f"{known}9")
    assert known in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_without_a_reward_says_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match="fit-reward"):
        explain_title(Run.open(tmp_path / "new", create=True), "x", "1")


def test_scored_titles_carry_their_support(fitted: tuple[Run, FitRewardResult, Path], tmp_path: Path) -> None:
    run, _, logs = fitted
    table = pq.read_table(logs).slice(0, 30)
    titles = [*table.column("title").to_pylist()[:29], "zzz qqq zzz"]
    place = table.column_names.index("title")
    pq.write_table(table.set_column(place, "title", [titles]), tmp_path / "titles.parquet")
    result = score(run, tmp_path / "titles.parquet", tmp_path / "out.parquet")
    support = pq.read_table(tmp_path / "out.parquet").column("support").to_pylist()
    assert sorted(support[:29])[10] > 0.9  # of 72 train items, some logged titles hold words of their own
    assert support[29] < 0.1
    assert result.out_of_distribution >= 1
