"""generate: whole catalogues in shards, sound titles only, and the current title where none is better."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from reward import text
from reward.features.phraselist import PhraseListError
from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.config import Decoding, GenerateConfig
from rlopt.csv_files import csv_style
from rlopt.errors import ConfigError, RunError
from rlopt.policy.constraints import Constraints
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import GeneratedTitle, TitlePolicy
from rlopt.run import Run
from rlopt.stages.common.columns import ignored_columns, titles_of
from rlopt.stages.generate.choice import NOT_BETTER
from rlopt.stages.generate.stage import GenerateResult, generate
from rlopt.stages.review.loading import read_titles_table
from tests.stages.menu import MenuPolicy, MenuReward, make_arms, make_run, title_of

N_ITEMS = 50
Titles = list[list[GeneratedTitle]]


class Writer(MenuPolicy):
    """`MenuPolicy` as generate asks for it; stops with an error at its ``fail_at``-th call."""

    fail_at = -1

    def write(self, items: Sequence[Item], n: int, how: Decoding, _: Constraints | None = None) -> Titles:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        return self.generate(items, n, temperature=how.temperature, seed=how.seed)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(60))


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    arms = make_arms(N_ITEMS)
    rows = {
        "item_id": [item.item_id for item in arms.items],
        "colour": [item.fields["colour"][0] for item in arms.items],
        "kind": [list(item.fields["kind"]) for item in arms.items],
    }
    pq.write_table(pa.table(rows), tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(policy: Writer) -> None:
        monkeypatch.setattr(TitlePolicy, "load", lambda *_, **__: policy)
        monkeypatch.setattr(RewardModel, "load", lambda *_, **__: MenuReward())

    return use


ALL_NEW = {"plain": 0.0, "long": 0.0, "new": 1.0, "magic": 0.0}
MIXED = {"plain": 0.3, "long": 0.3, "new": 0.4, "magic": 0.0}


def settings(**values: Any) -> GenerateConfig:
    return GenerateConfig(**{"shard_items": 7, "keep_current": False, **values})


def test_one_row_a_title_in_the_items_order_with_what_it_can_be_traced_to(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any
) -> None:
    serve(Writer(MIXED))
    result = generate(run, catalogue, tmp_path / "out.parquet", settings(n=2))
    table = pq.read_table(tmp_path / "out.parquet")
    expected = [item.item_id for item in make_arms(N_ITEMS).items for _ in range(2)]
    assert table["item_id"].to_pylist() == expected
    assert (result.titles, result.items, result.without_title) == (2 * N_ITEMS, N_ITEMS, 0)
    assert len(set(table["title"].to_pylist())) == 2 * N_ITEMS
    assert all(0 < reward < 1 for reward in table["reward"].to_pylist())
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert json.loads(metadata["rlopt.config"])["n"] == 2
    assert {"rlopt.run", "rlopt.policy_fingerprint", "rlopt.reward_fingerprint", "rlopt.seed"} <= set(metadata)
    assert len(set(table["item_version"].to_pylist())) == N_ITEMS


def test_what_generate_writes_is_no_context_of_the_items(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    serve(Writer(MIXED))
    generate(run, catalogue, tmp_path / "out.parquet", settings())
    written = set(pq.read_table(tmp_path / "out.parquet").column_names)
    assert ignored_columns(run, tmp_path / "out.parquet") == written - {"item_id", "title"}
    assert ignored_columns(run, catalogue) == set()


@pytest.mark.parametrize("fail_at", [0, 1, 4])
def test_an_interrupted_call_is_continued_and_loses_and_doubles_nothing(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any, fail_at: int
) -> None:
    serve(Writer(MIXED))
    generate(run, catalogue, tmp_path / "whole.parquet", settings())
    broken = Writer(MIXED)
    broken.fail_at = fail_at
    serve(broken)
    with pytest.raises(KeyboardInterrupt):
        generate(run, catalogue, tmp_path / "out.parquet", settings())
    assert not (tmp_path / "out.parquet").exists()
    serve(Writer(MIXED))
    generate(run, catalogue, tmp_path / "out.parquet", settings())
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))
    assert not list(tmp_path.glob(".*.parts"))


def test_shards_of_other_settings_are_not_used(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    broken = Writer(MIXED)
    broken.fail_at = 3
    serve(broken)
    with pytest.raises(KeyboardInterrupt):
        generate(run, catalogue, tmp_path / "out.parquet", settings(seed=1))
    fresh = Writer(ALL_NEW)
    serve(fresh)
    generate(run, catalogue, tmp_path / "out.parquet", settings(seed=2))
    assert sum(fresh.calls) == N_ITEMS
    assert all(t.startswith("new") for t in pq.read_table(tmp_path / "out.parquet")["title"].to_pylist())


def with_titles(catalogue: Path, style: str) -> None:
    titles = [title_of(item, style) for item in make_arms(N_ITEMS).items]
    pq.write_table(pq.read_table(catalogue).append_column("title", pa.array(titles)), catalogue)


@pytest.mark.parametrize(("current", "kept"), [("plain", False), ("new", True)])
def test_a_current_title_stays_unless_a_new_one_is_better_with_confidence(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any, capsys: Any, current: str, kept: bool
) -> None:
    with_titles(catalogue, current)
    serve(Writer({"plain": 0.0, "long": 1.0, "new": 0.0, "magic": 0.0} if kept else ALL_NEW))
    result = generate(run, catalogue, tmp_path / "out.parquet", settings(keep_current=True))
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert result.kept_current == (N_ITEMS if kept else 0)
    for row in rows:
        assert (row["title"] == row["current_title"]) is kept
        assert row["reason"] == (NOT_BETTER if kept else None)
    told = " ".join(capsys.readouterr().err.split())
    assert (f"{N_ITEMS} of {N_ITEMS} rows have no new title ({NOT_BETTER}: {N_ITEMS}). " in f"{told} ") is kept
    assert "Titles that rules stopped" not in told


def test_a_current_title_that_breaks_a_rule_gives_way_to_a_worse_one_that_keeps_them(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any, capsys: Any
) -> None:
    with_titles(catalogue, "new")
    serve(Writer({"plain": 1.0, "long": 0.0, "new": 0.0, "magic": 0.0}))
    rules = settings(keep_current=True, banned=("new",), support=())
    assert generate(run, catalogue, tmp_path / "out.parquet", rules).kept_current == 0
    assert all(title.startswith("plain") for title in pq.read_table(tmp_path / "out.parquet")["title"].to_pylist())
    capsys.readouterr()
    serve(Writer(ALL_NEW))  # none that keeps them: the current one stays, and that is said
    assert generate(run, catalogue, tmp_path / "none.parquet", rules).kept_current == N_ITEMS
    told = " ".join(capsys.readouterr().err.split())
    assert f"break a rule (column report): {N_ITEMS} current titles" in told


def test_best_of_takes_the_title_of_the_best_reward(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    serve(Writer(MIXED))
    generate(run, catalogue, tmp_path / "out.parquet", settings(best_of=24))
    assert all(title.startswith("new") for title in pq.read_table(tmp_path / "out.parquet")["title"].to_pylist())


def test_what_breaks_a_rule_is_not_given_out_and_counted(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    serve(Writer(MIXED))
    result = generate(run, catalogue, tmp_path / "out.parquet", settings(banned=("long",)))
    titles = pq.read_table(tmp_path / "out.parquet")["title"].to_pylist()
    assert not any("long" in title for title in titles)
    assert result.stopped["banned"] > 0
    serve(Writer(ALL_NEW))
    nothing = generate(run, catalogue, tmp_path / "none.parquet", settings(banned=("new",)))
    table = pq.read_table(tmp_path / "none.parquet")
    assert (nothing.without_title, table["title"].null_count, len(table)) == (N_ITEMS, N_ITEMS, N_ITEMS)
    assert all("banned: new" in report for report in table["report"].to_pylist())


def test_no_two_items_of_a_shop_get_the_same_words(run: Run, tmp_path: Path, serve: Any) -> None:
    twins = {"item_id": ["a", "b", "c"], "colour": ["red"] * 3, "kind": [["shirt", "i0001"]] * 3}
    pq.write_table(pa.table(twins), tmp_path / "items.parquet")

    class Same(Writer):
        def write(self, items: Sequence[Item], n: int, how: Decoding, _: Constraints | None = None) -> Titles:
            return [[GeneratedTitle("new red shirt i0001", -1.0, True, (1,))] * n for _ in items]

    serve(Same(MIXED))
    result = generate(run, tmp_path / "items.parquet", tmp_path / "out.parquet", settings(support=()))
    assert pq.read_table(tmp_path / "out.parquet")["title"].to_pylist() == ["new red shirt i0001", None, None]
    assert result.stopped["near_duplicate"] > 0


class Menus(Writer):
    """Writes the given titles of each item, as long as there are any."""

    def __init__(self, titles: dict[str, list[str]]) -> None:
        super().__init__(MIXED)
        self.titles = titles

    def write(self, items: Sequence[Item], n: int, how: Decoding, _: Constraints | None = None) -> Titles:
        return [[GeneratedTitle(text, -1.0, True, (1,)) for text in self.titles[item.item_id]] for item in items]


def twins(path: Path, **more: list[str]) -> Path:
    pq.write_table(pa.table({"item_id": ["a", "b"], "colour": ["red"] * 2, "kind": [["shirt"]] * 2, **more}), path)
    return path


def test_no_second_choice_replaces_a_current_title_that_is_better(run: Run, tmp_path: Path, serve: Any) -> None:
    items = twins(tmp_path / "items.parquet", title=["long red shirt a", "long red shirt b"])
    serve(Menus({"a": ["new red shirt", "plain red shirt 1"], "b": ["new red shirt", "plain red shirt 2"]}))
    config = settings(keep_current=True, best_of=2, support=())
    result = generate(run, items, tmp_path / "out.parquet", config)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["title"] for row in rows] == ["new red shirt", "long red shirt b"]
    assert [row["kept"] for row in rows] == [False, True]
    assert result.kept_current == 1


def test_several_titles_are_best_first_also_where_some_went_to_other_items(
    run: Run, tmp_path: Path, serve: Any
) -> None:
    mine = ["plain red shirt", "new red shirt", "long red shirt"]
    serve(Menus({"a": mine, "b": [*mine, "new red shirt b", "long red shirt b", "plain red shirt b"]}))
    generate(run, twins(tmp_path / "items.parquet"), tmp_path / "out.parquet", settings(n=3, best_of=6, support=()))
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["title"] for row in rows] == [
        *("new red shirt", "long red shirt", "plain red shirt"),
        *("new red shirt b", "long red shirt b", "plain red shirt b"),
    ]


def test_another_content_of_a_word_list_begins_anew(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    banned = tmp_path / "words.txt"
    banned.write_text("magic\n", encoding="utf-8")
    broken = Writer(MIXED)
    broken.fail_at = 3
    serve(broken)
    with pytest.raises(KeyboardInterrupt):
        generate(run, catalogue, tmp_path / "out.parquet", settings(banned=(f"@{banned}",)))
    banned.write_text("new\n", encoding="utf-8")
    serve(Writer(MIXED))
    generate(run, catalogue, tmp_path / "out.parquet", settings(banned=(f"@{banned}",)))
    assert not any("new" in title for title in pq.read_table(tmp_path / "out.parquet")["title"].to_pylist())


def test_an_item_that_says_nothing_gets_no_title(run: Run, tmp_path: Path, serve: Any) -> None:
    pq.write_table(pa.table({"item_id": ["a", "new"], "colour": ["red", None]}), tmp_path / "items.parquet")
    serve(Menus({"a": ["new red shirt"], "new": ["new shirt"]}))
    generate(run, tmp_path / "items.parquet", tmp_path / "out.parquet", settings(support=()))
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["title"] for row in rows] == ["new red shirt", None]
    assert "neither fields nor a current title" in rows[1]["reason"]


def test_what_stands_out_is_said(run: Run, catalogue: Path, tmp_path: Path, serve: Any, capsys: Any) -> None:
    serve(Writer({"plain": 0.0, "long": 0.0, "new": 0.0, "magic": 1.0}))
    generate(run, catalogue, tmp_path / "out.parquet", settings(n=2, best_of=2, support=()))
    assert set(pq.read_table(tmp_path / "out.parquet")["support"].drop_null().to_pylist()) == {0.2}
    said = capsys.readouterr().err
    assert "Unlike anything logged" in said
    assert "--best-of 2 has no effect" in said
    serve(Writer(ALL_NEW))
    generate(run, catalogue, tmp_path / "none.parquet", settings(required=("sturdy oak",)))
    told = " ".join(capsys.readouterr().err.split())
    why = f"no further title keeps the rules: {N_ITEMS}"
    assert f"{N_ITEMS} of {N_ITEMS} rows have no new title ({why}). Titles that rules stopped: lacks a" in told


@pytest.mark.parametrize("rules", [{"banned": ("free",)}, {"max_chars": 5}, {"superlatives": ("shipping",)}])
def test_a_required_phrase_that_no_title_can_hold_is_refused(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any, rules: dict[str, Any]
) -> None:
    serve(Writer(ALL_NEW))
    with pytest.raises(ConfigError, match="No title can hold the required phrase 'free shipping'"):
        generate(run, catalogue, tmp_path / "out.parquet", settings(required=("free shipping",), **rules))


@pytest.mark.parametrize("place", ["file", "folder"])
def test_the_input_is_not_replaced(run: Run, catalogue: Path, serve: Any, place: str) -> None:
    serve(Writer(ALL_NEW))
    before = catalogue.read_bytes()
    given = catalogue if place == "file" else catalogue.parent
    with pytest.raises(RunError, match="is the input, and would replace it"):
        generate(run, given, catalogue, settings())
    assert catalogue.read_bytes() == before


def test_titles_that_are_missing_are_left_out_by_whoever_reads_them(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any
) -> None:
    serve(Writer(MIXED))
    for name in ("out.parquet", "out.csv"):
        generate(run, catalogue, tmp_path / name, settings(banned=("red",)))
        rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
        titled = [row["title"] for row in rows if row["title"]]
        assert 0 < len(titled) < N_ITEMS
        items, titles, table = titles_of(run, tmp_path / name)
        assert titles == titled
        assert len(items) == len(table) == len(titled)


def test_csv_in_and_out(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    table = pq.read_table(catalogue).drop_columns(["kind"])
    pa_csv.write_csv(table, tmp_path / "items.csv")
    serve(Writer(ALL_NEW))
    result: GenerateResult = generate(run, tmp_path / "items.csv", tmp_path / "out.csv", settings(support=()))
    assert pa_csv.read_csv(tmp_path / "out.csv").num_rows == result.titles == N_ITEMS


HOSTILE = {
    "regex": {"colour": "(.*)+[a-z]{9}$ \\d", "kind": "^|?"},
    "html": {"colour": "<script>alert(1)</script>", "kind": "</td><b>"},
    "long": {"colour": "red", "description": "very long " * 10_000},
    "empty": {"colour": "", "kind": "   "},
    "nested": {"colour": '{"a": {"b": [["c", "d"], [1, 2]]}}', "kind": "[[[[[[1]]]]]]"},
    "control": {"colour": "\x1b[31m\u202e", "kind": "\u200b"},
    "slot": {"colour": "<colour>", "kind": "<|end|>"},
    "surrogate": {"colour": '{"a": "\\ud800 red \\udfff"}', "kind": "\uffff"},
    "numbers": {"colour": "9" * 5000, "kind": '{"n": 1e999, "m": ' + "7" * 5000 + "}"},
    "joiners": {"colour": "r\u200ded\u200f", "kind": "\u202e\u2066shirt\u2069\ufeff"},
    "odd keys": {"colour": '{"": "x", "\\u0000": "y", "<colour>": "z"}', "kind": "{" * 3000},
}


def test_hostile_items_get_a_title_or_a_reason(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = list(make_arms(30).items)
    renderer = SlotRenderer(Slots.learn(items))
    texts = [renderer.target(item, title_of(item, "new")) for item in items]
    tokenizer = build_tokenizer(texts, renderer.slots)
    policy = TitlePolicy(build_model(tokenizer, 0, hidden_size=32, layers=2, heads=2), tokenizer, renderer, 8)
    monkeypatch.setattr(TitlePolicy, "load", lambda *_, **__: policy)
    predicted = SimpleNamespace(
        predict=lambda shop, titles: MenuReward().predict(shop, ["new"] * len(titles)), observational=False
    )
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: predicted)
    names = ("colour", "kind", "description")
    rows = {name: [fields.get(name) for fields in HOSTILE.values()] for name in names}
    pq.write_table(pa.table({"item_id": list(HOSTILE), **rows}), tmp_path / "items.parquet")
    words = tmp_path / "words.txt"
    words.write_text("(.*)+\n[[[\n\\\nnew\n", encoding="utf-8")
    config = settings(banned=(f"@{words}",), support=(), max_repeats=8, formatting=False)
    generate(run, tmp_path / "items.parquet", tmp_path / "out.parquet", config)
    written = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["item_id"] for row in written] == list(HOSTILE)
    assert all(text.words(row["title"]) if row["title"] else row["reason"] for row in written)
    assert not any("new" in (row["title"] or "").split() for row in written)


def test_a_word_list_that_is_not_there_is_one_line(run: Run, catalogue: Path, tmp_path: Path, serve: Any) -> None:
    serve(Writer(MIXED))
    with pytest.raises(PhraseListError, match=r"Cannot read the word list .*none\.txt"):
        generate(run, catalogue, tmp_path / "out.parquet", settings(banned=(f"@{tmp_path}/none.txt",)))


def test_csv_of_ids_like_formulas_is_read_back_by_rlopt_and_run_by_no_spreadsheet(
    run: Run, catalogue: Path, tmp_path: Path, serve: Any
) -> None:
    ids = ["=1+1", "'=1", "-i", "@i", *(f"i{k}" for k in range(N_ITEMS - 4))]
    table = pq.read_table(catalogue).drop_columns(["kind"]).set_column(0, "item_id", pa.array(ids))
    pq.write_table(table, tmp_path / "ids.parquet")
    serve(Writer(ALL_NEW))
    with csv_style(excel=True):
        generate(run, tmp_path / "ids.parquet", tmp_path / "out.csv", settings(support=()))
    text = (tmp_path / "out.csv").read_text(encoding="utf-8-sig")
    assert not re.search(r'^"?[=+\-@]', text, flags=re.MULTILINE)
    items, titles, _ = titles_of(run, tmp_path / "out.csv")  # score, offline-eval, serve
    assert [item.item_id for item in items] == ids
    proposals, _ = read_titles_table(tmp_path / "out.csv")  # review
    assert proposals["item_id"].to_pylist() == ids
    assert proposals["title"].to_pylist() == titles
