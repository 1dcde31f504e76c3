"""The numbers of ``rlopt score`` and the titles of ``rlopt generate``, over HTTP."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from starlette.testclient import TestClient

from reward.items import Item
from rlopt.config import GenerateConfig, ServeConfig, load
from rlopt.run import Run
from rlopt.serving.answers import GenerateAnswer, ScoreAnswer
from rlopt.stages.generate.stage import generate
from rlopt.stages.score import score
from rlopt.stages.serve.service import open_service

TWO_SIDED = stats.norm.ppf(0.975)


@pytest.fixture(scope="module")
def client(written_run: Path) -> Iterator[TestClient]:
    run = Run.open(written_run)
    writing = load(GenerateConfig, overrides={"policy": "sft"}, preset=run.preset())
    with TestClient(open_service(run, ServeConfig(policy="sft"), writing)) as client:  # type: ignore[arg-type]
        yield client


def titles_to_score(run: Run) -> list[dict[str, Any]]:
    """Logged items and strangers, with fields as JSON has them, known and not; titles as logged and made up."""
    arms = run.arms()
    rng = random.Random(1)
    words = [word for title in arms.title for word in str(title).split()]
    name, values = next(iter(arms.items[0].fields.items()))
    items: list[dict[str, Any]] = [{"item_id": item.item_id, "fields": {}} for item in rng.sample(arms.items, 12)]
    items += [
        {"item_id": arms.items[1].item_id, "fields": {name: f"  {values[0]} "}},
        {"item_id": arms.items[2].item_id, "fields": {name: "N/A"}},
        {"item_id": "stranger-1", "fields": {name: values[0], "weight": 1.50, "mood": True}},
        {"item_id": "stranger-2", "fields": {name: list(values), "count": 3}},
        {"item_id": "stranger-3", "fields": {name: "zyx wvu tsr qpo"}},
        {"item_id": "stranger-4", "fields": {}},
    ]
    for item in {one["item_id"]: one for one in items}.values():
        item["titles"] = [" ".join(rng.sample(words, rng.randint(2, 9))) for _ in range(rng.randint(1, 4))]
    return [item for item in items if "titles" in item]


def as_rows(items: list[dict[str, Any]]) -> pa.Table:
    """The same as a table."""
    names = sorted({name for item in items for name in item["fields"]})
    rows = [
        {"item_id": item["item_id"], "title": title, **{name: _text(item["fields"].get(name)) for name in names}}
        for item in items
        for title in item["titles"]
    ]
    return pa.Table.from_pylist(rows)


def _text(value: Any) -> str | None:
    """In a column of texts a list is JSON."""
    import json

    return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)


def test_scores_are_those_of_the_command(written_run: Path, client: TestClient, tmp_path: Path) -> None:
    items = titles_to_score(Run.open(written_run))
    score(Run.open(written_run), as_rows(items), tmp_path / "out.parquet")
    expected = pq.read_table(tmp_path / "out.parquet").to_pylist()
    answer = client.post("/v1/score", json={"items": items})
    assert answer.status_code == 200
    ScoreAnswer.model_validate(answer.json())
    found = [row for item in answer.json()["items"] for row in item["titles"]]
    assert len(found) == len(expected)
    for one, row in zip(found, expected, strict=True):
        for name in ("title", "far"):
            assert one[name] == row[name]
        assert_alike(one, row, "p_click", "p_conversion", "reward", "reward_std", "support", "lift", "lift_std")
        assert one["reward_low"] == pytest.approx(max(one["reward"] - TWO_SIDED * one["reward_std"], 0), rel=1e-9)
        if one["lift"] is not None:
            assert one["lift_high"] == pytest.approx(one["lift"] + TWO_SIDED * one["lift_std"], rel=1e-9)


def assert_alike(one: dict[str, Any], other: dict[str, Any], *names: str) -> None:
    """Equal but for the order in which a batch of another size is added up."""
    for name in names:
        assert (one[name] is None) == (other[name] is None)
        assert one[name] is None or one[name] == pytest.approx(other[name], rel=1e-12, abs=1e-15)


def test_warnings_are_those_of_the_command(
    written_run: Path, client: TestClient, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run.open(written_run)
    items = titles_to_score(run)
    capfd.readouterr()
    score(run, as_rows(items), tmp_path / "out.parquet")
    said = capfd.readouterr().err
    warnings = client.post("/v1/score", json={"items": items}).json()["warnings"]
    assert "worded unlike anything logged" in warnings[0]
    assert all(warning in said for warning in warnings if "column far" in warning)
    assert any("stranger-4" in warning for warning in warnings)
    assert any("count" in warning and "mood" in warning for warning in warnings)
    assert not client.post("/v1/score", json={"items": [logged(run)]}).json()["warnings"]


def logged(run: Run, row: int = 0) -> dict[str, Any]:
    """A logged title with its item."""
    arms = run.arms()
    return {"item_id": arms.items[arms.item_index[row]].item_id, "titles": [str(arms.title[row])]}


def test_requests_at_once_get_what_each_gets_alone(written_run: Path, client: TestClient) -> None:
    items = titles_to_score(Run.open(written_run))
    bodies = [{"items": [item]} for item in items] + [{"items": items[:3]}, {"items": items}]
    alone = [client.post("/v1/score", json=body).json() for body in bodies]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda body: client.post("/v1/score", json=body).json(), bodies))
    for one, other in zip(together, alone, strict=True):
        assert one["warnings"] == other["warnings"]
        for item, same in zip(one["items"], other["items"], strict=True):
            for title, as_alone in zip(item["titles"], same["titles"], strict=True):
                assert title["title"] == as_alone["title"]
                assert_alike(title, as_alone, "p_click", "reward", "reward_high", "lift", "lift_low")


@pytest.mark.parametrize("settings", [{}, {"n": 2, "seed": 5}, {"best_of": 4, "keep_current": False, "seed": 3}])
def test_titles_are_those_of_the_command(
    written_run: Path, client: TestClient, tmp_path: Path, settings: dict[str, Any]
) -> None:
    run = Run.open(written_run)
    known: list[Item] = list(run.arms().items[:4])
    name, values = next(iter(known[0].fields.items()))
    rows = [{"item_id": item.item_id} for item in known] + [{"item_id": "new", name: values[0]}]
    config = load(GenerateConfig, overrides={"policy": "sft", **settings}, preset=run.preset())
    generate(run, pa.Table.from_pylist([{name: None, **row} for row in rows]), tmp_path / "out.parquet", config)
    items = [{"item_id": row.pop("item_id"), "fields": row} for row in rows]
    answer = client.post("/v1/generate", json={"items": items, **settings})
    assert answer.status_code == 200
    GenerateAnswer.model_validate(answer.json())
    found = [{"item_id": i["item_id"], **row} for i in answer.json()["items"] for row in i["titles"]]
    assert found == pq.read_table(tmp_path / "out.parquet").to_pylist()
