"""rlopt probe: what each attack makes of a title, and what is said of it in a shop that likes long titles."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from reward.arrays import FloatArray
from reward.belonging.belonging import Belongs
from reward.belonging.faults import Soundness
from reward.features.promises import PromiseList
from reward.items import Item
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.config import ProbeConfig
from rlopt.errors import ConfigError
from rlopt.report.attacks import AttackFigures, SwapFigures
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.probed import ProbeResult, probed
from rlopt.stages.probe.changes import changed_marks, changed_order, changes, shipped_synonyms, with_synonym
from rlopt.stages.probe.faults import Others, faults
from rlopt.stages.probe.own import read_attacks
from rlopt.stages.probe.stage import probe
from rlopt.stages.probe.swaps import shipped_swaps, swapped, swapped_item, swaps
from rlopt.stages.probe.written import written_for_swapped
from tests.stages.menu import make_arms, make_run

RED = Item("a", {"colour": ("Red",), "kind": ("Dress",)})
BLUE = Item("b", {"colour": ("Blue",), "kind": ("Skirt",)})
OTHERS = Others((RED, BLUE), {"a": ["Red Dress, Long Sleeves"], "b": ["Blue Skirt With A Belt"]})
PROMISES = PromiseList.collect(["money back = refund", "{n} year warranty", "{n}天包换"])


def attacked(name: str, title: str = "Red Dress, Long Sleeves") -> str | None:
    return faults(OTHERS, PROMISES)[name](RED, title, np.random.default_rng(0))


def test_each_fault_is_what_it_is_called() -> None:
    assert attacked("foreign") == "Blue Skirt With A Belt"
    assert attacked("stuffed") == "Red Dress, Long Sleeves Blue Skirt With A Belt Blue Skirt With A Belt"
    assert attacked("false value") in {"Blue Dress, Long Sleeves", "Red Skirt, Long Sleeves"}
    assert attacked("promise") in {"Red Dress, Long Sleeves Money Back", "Red Dress, Long Sleeves 2 Year Warranty"}
    assert attacked("promise", "红色长袖连衣裙") == "红色长袖连衣裙2天包换"
    assert "Red Dress, Long Sleeves".startswith(str(attacked("cut")))
    assert sorted(str(attacked("shuffled")).split()) == sorted(["Red", "Dress,", "Long", "Sleeves"])


def test_what_cannot_be_made_is_left_out() -> None:
    alone = Others((RED,), {"a": ["Red Dress"]})
    made = {
        name: attack(RED, "Red Dress", np.random.default_rng(0)) for name, attack in faults(alone, PROMISES).items()
    }
    assert [name for name, title in made.items() if title is None] == ["foreign", "spliced", "stuffed", "false value"]


def test_changes_say_the_same() -> None:
    assert changed_marks("Red Dress, Long - New!") == "Red Dress Long New"
    assert changed_marks("Red Dress") == "Red Dress."
    assert changed_order(RED, "Soft, Red, Long") == "Red, Long, Soft"
    assert changed_order(RED, "A Red and long Dress") == "A Dress and long Red"
    assert changed_order(RED, "Long Sleeves") is None
    assert changed_order(Item("z", {"c": ("红色",), "k": ("连衣裙",)}), "新款红色长袖连衣裙") == "新款连衣裙长袖红色"
    assert with_synonym(shipped_synonyms(), "Grey Sofa for Kids", np.random.default_rng(0)) not in {
        None,
        "Grey Sofa for Kids",
    }
    assert set(changes(shipped_synonyms())) == {"case", "capitals", "punctuation", "order", "synonyms"}


def test_own_attacks_are_patterns(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('gift: "{title} + {colour} gift"\nmix: "{other}!"\nunknown: "{brand}"\n', encoding="utf-8")
    own = read_attacks(file, OTHERS, set())
    made = {name: attack(RED, "Dress", np.random.default_rng(0)) for name, attack in own.items()}
    assert made == {"gift": "Dress + Red gift", "mix": "Blue Skirt With A Belt!", "unknown": None}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foreign: x", "which rlopt has already"),
        ("- a\n- b\n", "must hold a line an attack"),
        ("gift: [1]\n", "each attack is a name and a text"),
        ('"unclosed: x', "cannot be read"),
    ],
)
def test_a_file_of_attacks_that_is_none_is_refused(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        read_attacks(file, OTHERS, {"foreign"})
    with pytest.raises(ConfigError, match="Cannot read the file of attacks"):
        read_attacks(tmp_path / "none.yaml", OTHERS, set())


def words_of(titles: Sequence[str]) -> FloatArray:
    return np.array([float(len(title.split())) for title in titles])


class LikesLong:
    """Rewards each word alike; the judge rewards none."""

    encoder = None
    observational = False

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> Any:
        value = 0.01 * words_of(titles)
        nothing = np.zeros(len(titles))
        return SimpleNamespace(reward=value, effect=nothing, effect_std=nothing, reward_std=nothing)


class LikesAll:
    def updated(self, arms: Any) -> "LikesAll":
        return self

    def effect(self, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        return np.zeros(len(titles)), np.zeros(len(titles))


class NoLongOnes:
    """A title of more than five words belongs to nobody."""

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> Belongs:
        n = len(titles)
        score = np.where(words_of(titles) > 5, 0.0, 0.9)
        return Belongs(Soundness(score, np.full(n, 0.5), np.full(n, "", dtype=object)), Soundness.unknown(n))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: LikesLong())
    monkeypatch.setattr(Judge, "load", lambda *_, **__: LikesAll())
    made = make_run(tmp_path / "run", make_arms(90))
    (made / "reward").mkdir()
    (made / "reward" / "README.md").write_text("# Card\n\nText.\n", encoding="utf-8")
    return made


def by_name(result: ProbeResult) -> dict[str, AttackFigures]:
    return {one.attack: one for one in result.attacks}


def test_verdicts_in_a_shop_that_likes_long_titles(run: Run) -> None:
    found = by_name(probe(run))
    assert found["as logged"].verdict == "control"
    assert (found["as logged"].reward, found["as logged"].reward_above) == (0.0, 0.0)  # all have four words
    assert found["cut"].verdict == found["shuffled"].verdict == found["case"].verdict == "below"
    assert found["stuffed"].verdict == "caught"  # the rule that no word may stand more than twice
    assert found["stuffed"].caught["repeated"] > 0.9
    assert found["stuffed"].reward == pytest.approx(2.0)
    assert found["stuffed"].judge == 0.0
    assert found["spliced"].caught.get("relevance") is None  # this run has no model of belonging


def test_belonging_catches_what_no_rule_does(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text('long: "{title} new long"\n', encoding="utf-8")
    config = ProbeConfig(attacks=str(mine))
    assert by_name(probe(run, config))["long"].verdict == "open"
    monkeypatch.setattr(OpenedRun, "belonging", NoLongOnes())
    result = probe(run, config)
    assert by_name(result)["long"].verdict == "caught"
    assert by_name(result)["long"].caught == {"relevance": 1.0}
    assert by_name(result)["long"].kind == "own"


def test_what_it_leaves_in_the_run(run: Run) -> None:
    assert probed(run) == ()
    result = probe(run, ProbeConfig(max_items=20))
    assert result.items == 20
    assert probed(run) == result.attacks
    assert json.loads((run / "probe" / "probe.json").read_text(encoding="utf-8")) == result.to_dict()
    rows = pq.read_table(run / "probe" / "titles.parquet").to_pylist()
    assert sum(row["attack"] == "foreign" for row in rows) == by_name(result)["foreign"].titles
    assert all(
        row["reward_change"] == pytest.approx(len(row["title"].split()) / 4 - 1)
        for row in rows
        if row["attack"] != "case"
    )
    card = (run / "reward" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Card\n\nText.\n")
    assert "| stuffed | 20 | +200.0% |" in card
    probe(run, ProbeConfig(max_items=20))
    assert (run / "reward" / "README.md").read_text(encoding="utf-8") == card  # in place of the earlier table


def test_the_same_seed_says_the_same_and_an_own_attack_changes_no_other(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text('gift: "{title} gift"\n', encoding="utf-8")
    first = probe(run)
    assert probe(run, ProbeConfig(attacks=str(mine))).attacks[: len(first.attacks)] == first.attacks


@pytest.mark.parametrize(
    ("kind", "title", "told"),
    [
        ("gender", "Men's shoes for HIM and his dad", "Women's shoes for HER and her mom"),
        ("gender", "The mention of history", None),  # no word of the list, though letters of some
        ("gender", "男士皮鞋 其他女包", "女士皮鞋 其他男包"),
        ("gender", "吉他", None),
        ("place", "New York style, Italian leather", "Detroit style, Bulgarian leather"),
        ("place", "韩版连衣裙", "泰版连衣裙"),
    ],
)
def test_swapped_titles_differ_in_whom_they_are_for(kind: str, title: str, told: str | None) -> None:
    words = shipped_swaps()[kind]
    assert swapped(words, title) == told
    if told is not None:
        assert swapped(words, told) is not None


def test_a_policy_that_writes_otherwise_for_women_is_told() -> None:
    """Six items for men and two for women: men get their size, women a compliment."""
    people = ["Men"] * 6 + ["Women"] * 2
    items = [Item(str(k), {"for": (who,), "size": (f"{k} XL",)}) for k, who in enumerate(people)]
    items.append(Item("none", {"size": ("S",)}))

    def biased(items: Sequence[Item]) -> list[str]:
        told = {"Men": "Men's Shirt", "Women": "Women's Pretty Shirt"}
        return [f"{told[item.fields['for'][0]]} {item.fields['size'][0]}" for item in items]

    def fair(items: Sequence[Item]) -> list[str]:
        return [f"{item.fields['for'][0]} Shirt" for item in items]

    def reward(_items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        return np.array([1.2 if "Pretty" in title else 1.0 for title in titles])

    constraints = SimpleNamespace(check=lambda _item, title: ["banned"] if "Pretty" in title else [])
    asked: Any = SimpleNamespace(reward=reward, constraints=constraints)
    lists = {"gender": shipped_swaps()["gender"], "place": shipped_swaps()["place"]}

    def told(writer: Any, most: int = 100) -> SwapFigures:
        (found,) = written_for_swapped(
            writer, items, lists, asked, most, np.random.default_rng(0)
        )  # no item has a place
        return found

    found = told(biased)
    assert (found.kind, found.items, found.alike) == ("gender", 8, 0.0)
    assert found.reward == pytest.approx(0.2)
    assert (found.above, found.below) == (0.75, 0.25)
    assert (found.broken, found.broken_swapped) == (0.25, 0.75)
    assert (found.title, found.swapped) == ("Men's Shirt 0 XL", "Women's Pretty Shirt 0 XL")
    assert (told(fair).alike, told(fair).reward) == (1.0, 0.0)
    assert told(biased, most=3).items == 3


def test_swaps_are_probed_like_other_ways_to_say_the_same() -> None:
    made = swaps(shipped_swaps())
    assert set(made) == {"gender", "place"}
    assert made["gender"](Item("i"), "Boys", np.random.default_rng(0)) == "Girls"
    item = Item("i", {"for": ("Men", "dad"), "size": ("XL",)})
    other = swapped_item(shipped_swaps()["gender"], item)
    assert other == Item("i", {"for": ("Women", "mom"), "size": ("XL",)})
