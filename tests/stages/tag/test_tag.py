"""``rlopt tag``: fit and apply on files, in a toy language with known answers; hostile titles; bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from transformers import TrainerCallback

from reward.errors import LogError
from reward.logs.source import open_source
from rlopt.config import ShortenConfig, TagConfig
from rlopt.errors import ConfigError, PolicyError, RunError
from rlopt.run import Run
from rlopt.stages.tag import apply as tag_apply
from rlopt.stages.tag import fit as tag_fit
from rlopt.stages.tag.apply import apply_tagger
from rlopt.stages.tag.data import read_corpus, rows
from rlopt.stages.tag.fit import fit_tagger
from tests.conftest import Outcome
from tests.tagging.tagged_titles import PRODUCTS, tagged_titles
from tests.tiny_encoders import save_sentence_encoder

Rlopt = Callable[..., Outcome]
TITLES = tagged_titles(260)
PRESET = "tag: {pretraining_epochs: 0, epochs: 5, batch_size: 16, learning_rate: 5.0e-3, required: product}\n"
HOSTILE = [
    "",
    "   ",
    None,
    "羚跑 " + "新款 " * 1200 + "背包",
    "羚" * 5001,
    "<script>alert('nike')</script> 包邮 跑步鞋 新款 \x00\x07",
    "😀" * 20 + " 背包 " + "👩🏽\u200d💻" * 5,
    "مَرْحَبًا بالعالم 新款 手表 \u202eנעליים חדשות",
    '"=cmd|/c calc"!A1, 包邮 新款 云上 电脑包',
]


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a tagger that knows the toy language, fitted by the command."""
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("tag")
    (folder / "preset.yaml").write_text(PRESET, encoding="utf-8")
    entities = [json.dumps(found, ensure_ascii=False) for _, found in TITLES]
    data = write(folder / "tagged.parquet", title=[title for title, _ in TITLES], entities=entities)
    arguments = ["tag", "fit", data, "--config", folder / "preset.yaml", "--run", folder / "run"]
    assert run([str(argument) for argument in arguments]) == 0
    return folder / "run"


def test_files_of_a_folder_without_the_column_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", item_id=["1"], title=["red bag"])
    write(tmp_path / "b.parquet", title=["red bag"])
    with open_source(tmp_path) as source, pytest.raises(LogError, match=r"b\.parquet.*item_id"):
        list(rows(source, {"item_id": "item_id", "title": "title"}))


def test_a_missing_column_of_labels_names_the_option(tmp_path: Path) -> None:
    path = write(tmp_path / "titles.parquet", title=["red bag"] * 30)
    with pytest.raises(RunError, match=r"no column 'entities'.*--entities"):
        read_corpus(path, TagConfig(labels="entities"))
    with pytest.raises(RunError, match=r"no column 'kurz'.*--short"):
        read_corpus(path, TagConfig(labels="pairs", short="kurz"))


def test_the_input_is_not_replaced(fitted: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "titles.parquet", title=["red bag"])
    with pytest.raises(RunError, match="would replace it"):
        apply_tagger(Run.open(fitted), path, path)


def test_of_kinds_that_all_titles_have_the_product_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entities = json.dumps([["brand", "Orba"], ["product", "lamp"]])
    path = write(tmp_path / "tied.parquet", title=[f"Orba lamp {n}" for n in range(30)], entities=[entities] * 30)
    assert read_corpus(path, TagConfig()).required == "product"
    assert "as many titles have brand (--required chooses)" in capsys.readouterr().err


def test_a_wrong_entity_is_named_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.parquet", title=["a b"] * 3, entities=["[]", "[]", "no JSON"])
    with pytest.raises(RunError, match=r"bad\.parquet, row 3: entities must be a list"):
        read_corpus(path, TagConfig())


def test_something_is_left_to_learn_from(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.parquet", title=[f"red bag {n}" for n in range(20)], short_title=["bag"] * 20)
    corpus = read_corpus(path, TagConfig(held_out=0.98))
    assert (len(corpus.train), len(corpus.held_out)) == (1, 19)


def test_a_pretrained_encoder_takes_no_unlabelled_titles(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--unlabelled"):
        fit_tagger(Run.open(tmp_path / "run", create=True), "x", TagConfig(model="some"), unlabelled=["y"])


def test_a_damaged_encoder_is_refused_before_titles_are_read(tmp_path: Path) -> None:
    folder = save_sentence_encoder(tmp_path / "encoder")
    (folder / "model.safetensors").unlink()
    with pytest.raises(PolicyError, match="holds no weights"):
        fit_tagger(Run.open(tmp_path / "run", create=True), write(tmp_path / "a.parquet"), TagConfig(model=str(folder)))


def test_fit_reports_what_it_learned_on_titles_it_has_not_seen(fitted: Path) -> None:
    record = Run.open(fitted).record("tag")
    assert record["notes"]["f1"] > 0.95
    card = (fitted / "tag" / "README.md").read_text(encoding="utf-8")
    assert "measured on 26 others" in card
    assert not (fitted / "checkpoints" / "tag").exists()
    assert all("loss" in json.loads(line) for line in (fitted / "metrics" / "tag.jsonl").read_text().splitlines())


def test_short_titles_keep_the_product_in_the_length(fitted: Path, rlopt: Rlopt, tmp_path: Path) -> None:
    new = tagged_titles(400, seed=1)
    data = write(tmp_path / "in.parquet", item_id=list(range(400)), title=[title for title, _ in new])
    outcome = rlopt("tag", "apply", data, "-o", tmp_path / "out.csv", "--max-chars", 12, "--run", fitted, "--json")
    assert outcome.code == 0
    assert outcome.json["shortened"] > 390
    rows = pa_csv.read_csv(tmp_path / "out.csv").to_pylist()
    assert list(rows[0]) == ["item_id", "title", "short_title", "kept", "reason", "confidence"]
    kept = 0
    for row, (title, entities) in zip(rows, new, strict=True):
        assert row["title"] == title
        assert len(row["short_title"] or "") <= 12
        product = next(text for kind, text in entities if kind == "product")
        kept += product in (row["short_title"] or "")
        for _, text in json.loads(row["kept"] or "[]"):
            assert text in title
    assert kept >= 0.97 * len(rows)


def test_rows_keep_their_names_under_another_column(fitted: Path, rlopt: Rlopt, tmp_path: Path) -> None:
    data = write(tmp_path / "in.parquet", sku=["a", "b"], title=[title for title, _ in tagged_titles(2, seed=2)])
    told = rlopt("tag", "apply", data, "-o", tmp_path / "out.parquet", "--run", fitted)
    assert "--item-id sku" in told.err
    named = rlopt("tag", "apply", data, "-o", tmp_path / "out.parquet", "--item-id", "sku", "--run", fitted)
    assert named.code == 0
    assert pq.read_table(tmp_path / "out.parquet")["item_id"].to_pylist() == ["a", "b"]
    wrong = rlopt("tag", "apply", data, "-o", tmp_path / "out.parquet", "--item-id", "ean", "--run", fitted)
    assert wrong.code == 1
    assert "--item-id" in wrong.err


def test_hostile_titles_give_a_row_each(fitted: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "in.parquet", title=pa.array(HOSTILE, pa.string()))
    result = apply_tagger(Run.open(fitted), data, tmp_path / "out.parquet", ShortenConfig(max_chars=15, max_width=24))
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert result.titles == len(rows) == len(HOSTILE)
    reasons = [row["reason"] for row in rows]
    assert reasons[:3] == ["the title is empty"] * 3
    assert reasons[4] == "the title has more than 5,000 characters"
    for row in rows:
        assert (row["short_title"] is None) <= (row["reason"] is not None)
        assert len(row["short_title"] or "") <= 15
    assert all(any(p in rows[n]["short_title"] for p in PRODUCTS) for n in (3, 5, 8))


@pytest.mark.parametrize("broken_in", ["learn_words", "learn_labels"])
def test_an_interrupted_fit_ends_with_the_same_tagger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_in: str
) -> None:
    data = write(
        tmp_path / "in.parquet", title=[t for t, _ in TITLES], entities=[list(map(list, e)) for _, e in TITLES]
    )
    config = TagConfig(pretraining_epochs=0.3, epochs=0.3, batch_size=16, save_every=2)
    whole = fit_tagger(Run.open(tmp_path / "whole", create=True), data, config)
    real = getattr(tag_fit, broken_in)

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def stopping(*arguments, **named):
        return real(*arguments[:-1], [*arguments[-1], Stop()], **named)

    monkeypatch.setattr(tag_fit, broken_in, stopping)
    with pytest.raises(KeyboardInterrupt):
        fit_tagger(Run.open(tmp_path / "run", create=True), data, config)
    monkeypatch.setattr(tag_fit, broken_in, real)
    resumed = fit_tagger(Run.open(tmp_path / "run"), data, config)
    assert resumed.entities == whole.entities
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole.folder, resumed.folder)]
    assert weights[0] == weights[1]
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics" / "tag.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))


def test_an_interrupted_call_goes_on_and_loses_nothing(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "in.parquet", title=[title for title, _ in TITLES])
    config = ShortenConfig(shard_titles=50)
    apply_tagger(Run.open(fitted), data, tmp_path / "whole.parquet", config)
    real, calls = tag_apply.short_title, []

    def failing(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 130:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(tag_apply, "short_title", failing)
    with pytest.raises(KeyboardInterrupt):
        apply_tagger(Run.open(fitted), data, tmp_path / "out.parquet", config)
    assert not (tmp_path / "out.parquet").exists()
    apply_tagger(Run.open(fitted), data, tmp_path / "out.parquet", config)
    assert len(calls) == 130 + 160  # the first two shards were not made again
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))
    write(tmp_path / "none.parquet", title=pa.array([], pa.string()))
    assert apply_tagger(Run.open(fitted), tmp_path / "none.parquet", tmp_path / "empty.csv").titles == 0


def test_pairs_teach_what_to_keep(rlopt: Rlopt, tmp_path: Path) -> None:
    short = [" ".join(text for _, text in entities) for _, entities in TITLES]
    data = write(tmp_path / "pairs.parquet", long=[t for t, _ in TITLES] + ["红 绿"], mobile=[*short, "something else"])
    (tmp_path / "preset.yaml").write_text(PRESET.replace(", required: product", ""), encoding="utf-8")
    arguments = (
        "--title",
        "long",
        "--short",
        "mobile",
        "--config",
        tmp_path / "preset.yaml",
        "--run",
        tmp_path / "run",
    )
    outcome = rlopt("tag", "fit", data, *arguments, "--json")
    assert outcome.code == 0
    assert outcome.json["left_out"] == {"the short title does not consist of the long one's words in their order": 1}
    assert outcome.json["entities"]["KEEP"]["f1"] > 0.8  # neighbours make one span
    assert outcome.json["shortened"]["precision"] > 0.95
    assert outcome.json["shortened"]["recall"] > 0.9
    assert outcome.json["required"] is None


def test_no_title_is_on_both_sides(tmp_path: Path) -> None:
    titles = [title for title, _ in TITLES]
    entities = [list(map(list, found)) for _, found in TITLES]
    data = write(
        tmp_path / "in.parquet", title=titles + [t.upper() for t in titles[:30]], entities=entities + entities[:30]
    )
    corpus = read_corpus(data, TagConfig(held_out=0.3, seed=3))
    train = {row.title.text.casefold() for row in corpus.train}
    assert corpus.left_out == {"the title occurs twice": 30}
    assert len(corpus.train) + len(corpus.held_out) == 260
    assert train.isdisjoint(row.title.text.casefold() for row in corpus.held_out)
    assert read_corpus(data, TagConfig(held_out=0.3, seed=3)) == corpus


BAD = {
    "no entities": ({"title": ["a b"] * 30}, "has neither column 'entities' and 'short_title'"),
    "both": ({"title": ["a"], "entities": ["[]"], "short_title": ["a"]}, "has both columns"),
    "no title": ({"headline": ["a"], "entities": ["[]"]}, "has no column 'title'.*--title"),
    "not JSON": ({"title": ["a"], "entities": ["[[nonsense"]}, r"list of \[kind, text\].*Got '\[\[nonsense'"),
    "numbers": ({"title": ["a"], "entities": ["[[1, 2]]"]}, r"list of \[kind, text\]"),
    "deep": ({"title": ["a"], "entities": ["[" * 100_000]}, r"list of \[kind, text\]"),
    "few": ({"title": ["a b"], "entities": ['[["x", "a"]]']}, "at least 20 are needed"),
    "nothing tagged": ({"title": [f"a {n}" for n in range(50)], "entities": ["[]"] * 50}, "with 0 labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line(rlopt: Rlopt, tmp_path: Path, case: str) -> None:
    import re

    columns, message = BAD[case]
    data = write(tmp_path / "in.parquet", **columns)
    outcome = rlopt("tag", "fit", data, "--run", tmp_path / "run")
    assert outcome.code == 1
    assert re.search(message, outcome.err), outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_apply_before_fit_says_what_to_run(rlopt: Rlopt, tmp_path: Path) -> None:
    titles = tmp_path / "x.csv"
    titles.write_text("title\nA title\n", encoding="utf-8")
    outcome = rlopt("tag", "apply", titles, "-o", tmp_path / "y.csv", "--run", tmp_path / "none")
    assert outcome.code == 1
    assert "rlopt tag fit TITLES" in outcome.err
    assert not (tmp_path / "none").exists()
