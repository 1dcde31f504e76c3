"""generate --diverse: what is written of a set of titles, and how they are told apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.features.mentions import MentionScanner
from reward.features.vocabulary import learn
from reward.items import Item
from reward.logs.sources.local import local
from rlopt.config import Decoding, GenerateConfig
from rlopt.policy.constraints import Constraints
from rlopt.policy.title_policy import GeneratedTitle, TitlePolicy
from rlopt.run import Run
from rlopt.stages.common.columns import ignored_columns
from rlopt.stages.generate.angles import angles
from rlopt.stages.generate.stage import generate
from tests.stages.menu import MenuPolicy


def shelf(brands: Sequence[str], materials: Sequence[str], pattern: str) -> MentionScanner:
    """Scanner learned from logs of titles with brand and material."""
    pairs = [(brand, material) for brand in brands for material in materials]
    items = [Item(f"i{n}", {"brand": (b,), "material": (m,)}) for n, (b, m) in enumerate(pairs)]
    return MentionScanner(learn(items, [pattern.format(b, m) for b, m in pairs], range(len(items))))


def test_angles_are_said_in_the_language_of_the_titles() -> None:
    brands, materials = ["Acme", "Bolt", "Cavo", "Dima", "Edra"], ["linen", "cotton", "wool", "silk"]
    scanner = shelf(brands, materials, "{} {} shirt")
    item = Item("i", {"brand": ("Acme",), "material": ("linen",)})
    titles = ["Acme casual shirt for men", "Shirt of linen for men", "Shirt", "Shirt casual for any men"]
    assert angles(item, titles, scanner) == ["leads with brand", "names the material", "shorter", "says any"]
    assert angles(item, ["Shirt for men"] * 2, scanner) == ["like the others"] * 2
    brands, materials = ["明泉", "云岭", "海棠", "青禾", "白鹭"], ["亚麻", "纯棉", "羊毛", "真丝"]
    scanner = shelf(brands, materials, "{}{}衬衫")
    item = Item("i", {"brand": ("明泉",), "material": ("亚麻",)})
    titles = ["明泉休闲男士衬衫", "休闲亚麻男士衬衫", "衬衫", "休闲男士衬衫新款"]
    assert angles(item, titles, scanner) == ["以brand开头", "点出material", "较短", "用词“新款”"]


class Logged(MenuPolicy):
    """Writes what the logs have of an item."""

    def __init__(self, titles: dict[str, list[str]]) -> None:
        super().__init__({"plain": 1.0})
        self.titles = titles

    def write(
        self, items: Sequence[Item], n: int, how: Decoding, _: Constraints | None = None
    ) -> list[list[GeneratedTitle]]:
        return [[GeneratedTitle(title, -1.0, True, ()) for title in self.titles[item.item_id][:n]] for item in items]


def test_a_diverse_output_says_what_its_sets_are_worth(
    fitted_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(fitted_run)
    arms, titles = run.arms(), dict[str, list[str]]()
    for item_id, title in zip(arms.item_ids, arms.title, strict=True):
        titles.setdefault(item_id, []).append(title)
    policy: Any = Logged(titles)
    monkeypatch.setattr(TitlePolicy, "load", lambda *_, **__: policy)
    (tmp_path / "policy").mkdir()
    pq.write_table(pa.table({"item_id": list(titles)[:20]}), tmp_path / "items.parquet")
    out = tmp_path / "titles.parquet"
    config = GenerateConfig(policy=str(tmp_path / "policy"), n=3, diverse=True)
    generate(run, tmp_path / "items.parquet", out, config)
    rows = [row for row in pq.read_table(out).to_pylist() if row["title"] is not None]
    assert len(rows) > 20
    of_item: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_item.setdefault(row["item_id"], []).append(row)
        assert row["angle"]
    for own in of_item.values():
        assert len({(row["expected_best"], row["diversity"]) for row in own}) == 1
        rewards = [row["reward"] for row in own]
        assert 0.99 * sum(rewards) / len(rewards) < own[0]["expected_best"] < 2 * max(rewards)
        assert (own[0]["diversity"] is None) == (len(own) == 1)
        assert len({row["title"] for row in own}) == len(own)
    with local(out) as here:
        assert {"expected_best", "diversity", "angle"} <= ignored_columns(run, here)
    assert GenerateConfig(n=3, diverse=True).written == 12
    assert GenerateConfig(n=3, diverse=True, best_of=5).written == 5
    assert GenerateConfig(n=1, diverse=True).written == 1
