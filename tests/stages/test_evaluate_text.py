"""evaluate-text: titles beside the baselines, through the command line."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.items import Item
from rlopt.config import TextConfig
from rlopt.errors import RunError
from rlopt.stages.evaluate_text import evaluate_text, neighbour_titles
from tests.conftest import Outcome

ROWS = {
    "item_id": [str(i) for i in range(30)],
    "title": [f"{('red', 'blue', 'green')[i % 3]} dress new" for i in range(30)],
    "human": [f"{('red', 'blue', 'green')[i % 3]} dress new" if i % 2 else "something else" for i in range(30)],
    "color": [("red", "blue", "green")[i % 3] for i in range(30)],
    "type": ["dress"] * 30,
}


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    pq.write_table(pa.table(ROWS), tmp_path / "titles.parquet")
    return tmp_path / "titles.parquet"


def test_every_rival_is_measured_by_every_metric(titles: Path) -> None:
    result = evaluate_text(titles, TextConfig(references="human"))
    assert (result.titles, result.items) == (30, 30)
    assert set(result.table) == {"titles", "attributes", "neighbour"}
    assert len({tuple(metrics) for metrics in result.table.values()}) == 1
    found = result.table["titles"]
    assert found["exact"].value == 0.5
    assert found["exact"].low < 0.5 < found["exact"].high
    assert found["bleu"].low <= found["bleu"].value <= found["bleu"].high
    assert result.table["attributes"]["coverage"].value == 1.0


def test_the_neighbour_is_another_item(titles: Path) -> None:
    items = [Item(str(i), {"color": (c,)}) for i, c in enumerate(("red", "red", "blue", "blue"))]
    assert neighbour_titles(items, ["a", "b", "c", "d"]) == ["b", "a", "d", "c"]


def test_nothing_to_measure_is_one_line_and_one_item_has_no_neighbour(tmp_path: Path) -> None:
    table = pa.table({**ROWS, "none": [""] * 30})
    pq.write_table(table, tmp_path / "titles.parquet")
    with pytest.raises(RunError, match="has no row with a reference"):
        evaluate_text(tmp_path / "titles.parquet", TextConfig(references="none"))
    pq.write_table(table.slice(0, 1), tmp_path / "one.parquet")
    assert set(evaluate_text(tmp_path / "one.parquet", TextConfig(references="human")).table) == {
        "titles",
        "attributes",
    }


def test_nothing_is_said_of_baselines_for_items_without_fields(tmp_path: Path) -> None:
    bare = {name: ROWS[name] for name in ("item_id", "title", "human")}
    pq.write_table(pa.table(bare), tmp_path / "bare.parquet")
    found = evaluate_text(tmp_path / "bare.parquet", TextConfig(references="human")).table
    assert set(found) == {"titles"}
    assert found["titles"]["exact"].value == 0.5


def test_without_references_only_what_the_items_say(titles: Path) -> None:
    found = evaluate_text(titles).table
    assert set(found) == {"titles", "attributes"}
    assert "bleu" not in found["titles"]


def test_the_command_prints_a_table_or_json_and_names_a_missing_column(
    rlopt: Callable[..., Outcome], titles: Path
) -> None:
    assert "rouge l" in (out := rlopt("evaluate-text", titles, "--references", "human").out) or "rouge_l" in out
    assert rlopt("evaluate-text", titles, "--references", "human", "--json").json["table"]["titles"]["exact"]["value"]
    bad = rlopt("evaluate-text", titles, "--references", "none")
    assert bad.code == 1
    assert "has no column 'none'" in bad.err
    with pytest.raises(RunError):
        evaluate_text(titles, TextConfig(references="none"))
