"""Every file of a run, damaged in every way of `tests.damage`: one line that names the file and the way out.

No command may call it a bug, show a traceback, wait for a pipe or run what a file holds; and the way out must lead out.
"""

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.errors import ModelError
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from reward.saved import SavedError, read_arrays
from rlopt.files import remove
from rlopt.run import Run
from tests import damage
from tests.conftest import Outcome

Rlopt = Callable[..., Outcome]

SECONDS = 120  # a command that takes longer waits for something
TABLES = ("data/arms.parquet", "data/items.parquet")
OBJECTS = ("manifest.json", "data/splits.json", "data/preset.json", "data/findings.json", "reward/meta.json")
ARRAYS = ("reward/arrays.npz", "reward/click-0.npz")


def rows(n_items: int) -> pa.Table:
    """Logs of a small shop."""
    rng = np.random.default_rng(0)
    styles = ("Red", "Big cheap", "A very fine", "New and blue")
    ids = [f"item{i}" for i in range(n_items) for _ in styles]
    return pa.table(
        {
            "item_id": ids,
            "title": [f"{style} mug number {i}" for i in range(n_items) for style in styles],
            "impressions": [1000] * len(ids),
            "clicks": rng.integers(20, 60, len(ids)),
            "color": ["red", "blue"] * (len(ids) // 2),
            "price": rng.uniform(1, 9, n_items).repeat(len(styles)),
        }
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs, and beside them two titles to score."""
    path = tmp_path_factory.mktemp("logs") / "logs.parquet"
    pq.write_table(rows(40), path)
    pq.write_table(rows(1).select(["item_id", "title"]), path.with_name("titles.parquet"))
    return path


@pytest.fixture(scope="module")
def finished(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a finished fit-reward."""
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("finished") / "run"
    assert run(["fit-reward", str(logs), "--run", str(folder), "--members", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def shared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that the tests damage and mend again."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("damaged") / "run")


@pytest.fixture
def damaged(shared: Path, finished: Path) -> Iterator[Callable[[str, damage.Damage], Path]]:
    """Damage one file of a copy of the run, which is mended afterwards."""
    names: set[str] = set()

    def make(name: str, how: damage.Damage) -> Path:
        mend(name)
        names.add(name)
        how(shared / name)
        return shared

    def mend(name: str) -> None:
        if os.path.lexists(shared / name):
            remove(shared / name)
        shutil.copy(finished / name, shared / name)

    yield make
    for name in {*names, "manifest.json"}:
        mend(name)


@pytest.fixture(autouse=True)
def _no_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End a test that waits; and see that nothing a file holds was run."""
    monkeypatch.chdir(tmp_path)

    def ring(*_: object) -> None:
        raise TimeoutError("a command waits")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert not (tmp_path / "executed").exists()


def check(outcome: Outcome, name: str) -> None:
    """One line, with the file and what to do."""
    lines = outcome.err.strip().splitlines()
    assert outcome.code == 1, outcome
    assert outcome.out == ""
    assert [line.startswith("Error") for line in lines].count(True) == 1, outcome.err
    assert lines[-1].startswith("Error: "), outcome.err
    assert "bug in rlopt" not in outcome.err
    assert "Traceback" not in outcome.err
    assert Path(name).name in lines[-1] or str(Path(name).parent) in lines[-1], lines[-1]
    assert any(word in lines[-1] for word in ("fit-reward", "Restore", "Remove", "Run again", "--run")), lines[-1]
    assert len(lines[-1]) < 700


def command(name: str, logs: Path, out: Path) -> list[object]:
    """A command that reads this file of a run."""
    if name == "data/splits.json":
        return ["fit-reward", logs, "--members", "1"]
    return ["score", logs.with_name("titles.parquet"), "-o", out]


@pytest.mark.parametrize("name", [*TABLES, *OBJECTS, *ARRAYS])
@pytest.mark.parametrize("kind", damage.ANY_FILE)
def test_a_file_that_is_something_else(
    name: str, kind: str, damaged: Callable[..., Path], logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    if kind == "gone" and name in ("manifest.json", "data/preset.json"):
        pytest.skip("a run without a manifest is no run; runs of old have no preset")
    run = damaged(name, damage.ANY_FILE[kind])
    check(rlopt(*command(name, logs, tmp_path / "o.parquet"), "--run", run), name)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("kind", damage.JSON_FILE)
def test_an_object_that_is_another(
    name: str, kind: str, damaged: Callable[..., Path], logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    if kind == "an empty object" and name == "data/preset.json":
        pytest.skip("a preset may be empty")
    run = damaged(name, damage.JSON_FILE[kind])
    check(rlopt(*command(name, logs, tmp_path / "o.parquet"), "--run", run), name)


@pytest.mark.parametrize("name", OBJECTS)
def test_no_value_of_an_object_makes_a_bug(
    name: str, finished: Path, damaged: Callable[..., Path], logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    """Every fifth of all values by all bad ones: each is refused, or changes nothing that this command reads."""
    refused = 0
    every = list(damage.json_values((finished / name).read_text(encoding="utf-8")))
    for kind, text in every[::5]:
        run = damaged(name, lambda path, text=text: path.write_text(text, encoding="utf-8"))
        outcome = rlopt(*command(name, logs, tmp_path / "o.parquet"), "--run", run)
        if outcome.code:
            check(outcome, name)
            refused += 1
        assert outcome.code in (0, 1), kind
    assert refused > len(every) // 5 // 3


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_another(
    name: str, finished: Path, damaged: Callable[..., Path], logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    """Refused, unless what is left is still a table of arms."""
    refused = set()
    for kind, how in damage.table_kinds(finished / name):
        outcome = rlopt(*command(name, logs, tmp_path / "o.parquet"), "--run", damaged(name, how))
        if outcome.code:
            check(outcome, name)
            refused.add(kind)
    columns = (
        ("item",) if name == "data/items.parquet" else ("item_index", "title", "clicks", "impressions", "propensity")
    )
    for column in columns:
        assert {f"{column} {kind}" for kind in ("gone", "all null", "of lists", "of numbers", "of NaN")} <= refused
    assert "another table" in refused


def probe(model: RewardModel | Judge, run: Run) -> None:
    """Ask a model for everything it can say."""
    arms = run.arms()
    items, titles = arms.arm_items[:6], [str(title) for title in arms.title[:6]]
    if isinstance(model, RewardModel):
        assert np.isfinite(model.predict(items, titles).reward).all()
        return
    learned = model.updated(arms)
    assert np.isfinite(learned.draws(items, titles, 3, np.random.default_rng(0))).all()
    assert np.isfinite(learned.effect(items, titles)[0]).all()
    assert np.isfinite(learned.support(items, titles)).all()


@pytest.mark.parametrize(
    ("folder", "file", "kind"), [("reward", "click-0.npz", RewardModel), ("judge", "arrays.npz", Judge)]
)
def test_arrays_that_are_others(
    folder: str, file: str, kind: Any, finished: Path, damaged: Callable[..., Path]
) -> None:
    """Refused when the model is loaded, or of no effect: never a surprise when it is asked."""
    refused = []
    for what, content in damage.array_kinds((finished / folder / file).read_bytes(), lambda name: "idf" not in name):
        run = damaged(f"{folder}/{file}", lambda path, content=content: path.write_bytes(content))
        try:
            model = kind.load(run / folder)
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017  either is right
            refused.append(what)
        else:
            probe(model, Run.open(finished))
    for what in ("a pickled array", "an array that says it is larger", "an array of negative size"):
        assert what in refused


@pytest.mark.parametrize("file", ["meta.json"])
def test_a_judge_whose_values_are_others(file: str, finished: Path, damaged: Callable[..., Path]) -> None:
    for _, text in itertools.islice(
        damage.json_values((finished / "judge" / file).read_text(encoding="utf-8")), 0, None, 3
    ):
        run = damaged(f"judge/{file}", lambda path, text=text: path.write_text(text, encoding="utf-8"))
        try:
            model = Judge.load(run / "judge")
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017  either is right
        else:
            probe(model, Run.open(finished))


@pytest.mark.parametrize(
    "name", ["data/arms.parquet", "data/splits.json", "data/findings.json", "reward/arrays.npz", "reward/evidence.json"]
)
def test_the_way_out_leads_out(
    name: str, finished: Path, damaged: Callable[..., Path], logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    """Follow the message's advice: ``fit-reward --force`` writes a run as it was."""
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(b"\0")
    outcome = rlopt("fit-reward", logs, "--run", tmp_path / "run", "--members", "1", "--force")
    assert outcome.code == 0, outcome.err
    titles = logs.with_name("titles.parquet")
    for number, run in enumerate((finished, tmp_path / "run")):
        assert rlopt("score", titles, "-o", tmp_path / f"{number}.parquet", "--run", run).code == 0
    assert pq.read_table(tmp_path / "0.parquet").equals(pq.read_table(tmp_path / "1.parquet"))


def test_metrics_that_are_no_metrics(finished: Path, tmp_path: Path) -> None:
    """A last line without its end goes; any other damaged line is named."""
    writer = Run(tmp_path).metrics("sft")
    writer.write({"step": 1, "loss": 0.5})
    with writer.path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert Run(tmp_path).metrics("sft").rows() == [{"step": 1, "loss": 0.5}]
    for line in ("hello", "[1]", "null", "[" * damage.DEEP + "]" * damage.DEEP, '{"loss": NaN}', '{"loss": 1e999}'):
        writer.path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
        with pytest.raises(ValueError, match=r"^Line 2 of .*sft\.jsonl is damaged .*Remove that line or the file"):
            Run(tmp_path).metrics("sft")


def test_any_flipped_byte_is_told_or_harmless(tmp_path: Path) -> None:
    """Also where the decompressor is the first to notice."""
    path = tmp_path / "arrays.npz"
    content = damage.saved({"a": np.arange(40.0), "b": np.ones(3, dtype=np.int64)})
    told = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read_arrays(path)
        except SavedError as error:
            told += 1
            assert str(error).startswith(str(path))  # noqa: PT017  either is right
    assert told > len(content) // 2


def test_arrays_that_unpack_to_more_than_anybody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "arrays.npz"
    path.write_bytes(damage.saved({"a": np.zeros(1 << 20)}))
    assert path.stat().st_size < 10_000
    assert read_arrays(path)["a"].size == 1 << 20
    monkeypatch.setattr("reward.saved.MAX_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="its arrays have more than 1,048,576 bytes"):
        read_arrays(path)
