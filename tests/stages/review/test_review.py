"""rlopt review: from a file of generate to pages, to a file that goes live, and back into the other commands."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from reward.model.reward_model import RewardModel
from rlopt.config import EvalConfig, GenerateConfig, ReviewConfig
from rlopt.errors import EvaluationError, RunError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.reviewing.audit import Decision, record
from rlopt.reviewing.database import ReviewError, needs, opened
from rlopt.reviewing.decided import Reviews
from rlopt.reviewing.proposals import add, known_keys
from rlopt.reviewing.ratings import rate
from rlopt.reviewing.tables import PROPOSALS
from rlopt.run import Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.title_source import TitleSource
from rlopt.stages.generate.approved import APPROVED
from rlopt.stages.generate.stage import generate
from rlopt.stages.offline_eval.rated import rated_by_people
from rlopt.stages.review.loading import proposals_of, read_titles_table
from rlopt.stages.review.prediction import RunChecks
from rlopt.stages.review.stage import export, review
from rlopt.stages.sft.approved import approved_pairs
from tests.conftest import Outcome
from tests.stages.generate.test_generate import ALL_NEW, Writer
from tests.stages.menu import MenuReward, make_arms, make_run, title_of

N_ITEMS = 12


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(60))


@pytest.fixture(autouse=True)
def _menu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TitlePolicy, "load", lambda *_, **__: Writer(ALL_NEW))
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: MenuReward())


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    items = make_arms(N_ITEMS).items
    rows = {
        "item_id": [item.item_id for item in items],
        "title": [title_of(item, "plain") for item in items],
        "colour": [item.fields["colour"][0] for item in items],
        "kind": [list(item.fields["kind"]) for item in items],
    }
    pq.write_table(pa.table(rows), tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


@pytest.fixture
def titles(run: Run, catalogue: Path, tmp_path: Path) -> Path:
    generate(run, catalogue, tmp_path / "titles.parquet", GenerateConfig())
    return tmp_path / "titles.parquet"


def load(run: Run, titles: Path, place: str) -> int:
    """Load proposals as `review` does before it serves."""
    table, source = read_titles_table(titles)
    opened_run = OpenedRun(run)
    with opened(place, create=True) as engine:
        with engine.connect() as connection:
            known = known_keys(connection)
        pieces = proposals_of(table, source, opened_run, RunChecks(opened_run), {}, known)
        return sum(add(engine, piece, seed=0, second_opinions=0.0) for piece in pieces)


@pytest.fixture
def place(run: Run, titles: Path, tmp_path: Path) -> str:
    """Reviews of three titles: one accepted, one edited, one refused."""
    found = str(tmp_path / "reviews.db")
    assert load(run, titles, found) == N_ITEMS
    assert load(run, titles, found) == 0
    with opened(found) as engine:
        record(engine, "Ann", Decision(1, "accept", 0, "a"))
        record(engine, "Ann", Decision(2, "edit", 0, "b", title="long blue shirt i0001"))
        record(engine, "Ann", Decision(3, "reject", 0, "c", reason="off_brand", phrase="magic"))
    return found


def test_the_run_says_what_a_title_is_worth(run: Run, titles: Path, tmp_path: Path) -> None:
    load(run, titles, str(tmp_path / "r.db"))
    with opened(str(tmp_path / "r.db")) as engine, engine.connect() as connection:
        row = connection.execute(PROPOSALS.select().where(PROPOSALS.c.item_id == "i0000")).one()
    # "new" against "plain": 0.3 nats more, each known to 0.1
    assert row.title == "new red shirt i0000"
    assert row.lift == pytest.approx(1.3498588 - 1)
    assert row.low == pytest.approx(1.3498588 * 0.7579176 - 1, rel=1e-5)
    assert row.chance == pytest.approx(0.98305, abs=1e-4)
    assert json.loads(row.facts) == {"colour": ["red"], "kind": ["shirt", "i0000"]}


def test_a_wording_is_checked_by_the_rules_of_the_run(run: Run) -> None:
    item = make_arms(N_ITEMS).items[0]
    checks = RunChecks(OpenedRun(run))
    found = checks.check(item.item_id, dict(item.fields), title_of(item, "plain"), title_of(item, "magic") + " !!")
    assert [one.kind for one in found.broken] == ["punctuation"]
    assert found.lift == pytest.approx(1.6487213 - 1)
    assert found.support == 0.2
    same = checks.check(item.item_id, dict(item.fields), title_of(item, "plain"), title_of(item, "plain"))
    assert (same.lift, same.low, same.high, same.chance) == (0, 0, 0, 0.5)
    assert checks.check("unknown", {}, None, "new red shirt").lift is None


def test_what_people_approved_goes_live(place: str, tmp_path: Path, rlopt: Callable[..., Outcome]) -> None:
    for name in ("approved.parquet", "approved.csv"):
        outcome = rlopt(
            "review", "titles.parquet", "--reviews", place, "--export", tmp_path / name,
            "--export-banned", tmp_path / "banned.txt", "--json",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert {k: outcome.json[k] for k in ("titles", "items", "edited", "phrases")} == {
            "titles": 2, "items": 2, "edited": 1, "phrases": 1,
        }  # fmt: skip
    table = pq.read_table(tmp_path / "approved.parquet")
    assert table.column_names == ["item_id", "title", "proposed_title", "edited", "reviewer", "reviewed_at"]
    assert table["title"].to_pylist() == ["new red shirt i0000", "long blue shirt i0001"]
    assert pa_csv.read_csv(tmp_path / "approved.csv")["item_id"].to_pylist() == ["i0000", "i0001"]
    assert (tmp_path / "banned.txt").read_text() == "magic\n"


@pytest.mark.parametrize("n", [1, 2])
def test_generate_goes_by_what_people_decided(
    run: Run, catalogue: Path, place: str, tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = {"plain": 0.0, "long": 0.5, "new": 0.5, "magic": 0.0}
    monkeypatch.setattr(TitlePolicy, "load", lambda *_, **__: Writer(mixed))
    out = tmp_path / "next.parquet"
    generate(run, catalogue, out, GenerateConfig(n=n, shard_items=5, seed=3), reviews=place)
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == n * N_ITEMS
    of = {item: [row["title"] for row in rows if row["item_id"] == item] for item in ("i0000", "i0001", "i0002")}
    assert of["i0000"][0] == "new red shirt i0000"
    assert of["i0001"][0] == "long blue shirt i0001"
    assert "new 红色 shirt i0002" not in of["i0002"]
    assert "new blue shirt i0001" not in of["i0001"]
    assert next(row["reason"] for row in rows if row["item_id"] == "i0001") == APPROVED
    metadata = pq.read_schema(out).metadata
    assert metadata[b"rlopt.reviews"].decode() == Reviews.read(place).digest
    # "long" is better than the current title with a chance of .76: alone it does not replace it
    assert of["i0002"][0] == ("plain 红色 shirt i0002" if n == 1 else "long 红色 shirt i0002")
    assert all(len(set(titles)) == len(titles) for titles in of.values())


def test_sft_learns_approved_titles_of_train_items_alone(run: Run, place: str) -> None:
    opened_run = OpenedRun(run)
    pairs = approved_pairs(opened_run, Reviews.read(place))  # i0001 is a judge item
    assert [(item.item_id, title) for item, title in pairs] == [("i0000", "new red shirt i0000")]
    assert pairs[0][0].fields["colour"] == ("red",)


def test_offline_eval_takes_ratings_of_this_policy_alone(run: Run, place: str, titles: Path, tmp_path: Path) -> None:
    source = TitleSource("titles", titles)
    with pytest.raises(EvaluationError, match="no title yet"):
        rated_by_people(place, source, EvalConfig())
    with opened(place) as engine:
        for number in range(1, 11):
            rate(engine, "Ann", number, {"misleading": number == 1}, f"a{number}")
            rate(engine, "Bob", number, {"misleading": number <= 2}, f"b{number}")
    (found,) = rated_by_people(place, source, EvalConfig())
    assert (found.n_titles, found.n_twice, found.share, found.both, found.either) == (10, 10, 0.15, 1, 2)
    other = pq.read_table(titles)
    pq.write_table(other.replace_schema_metadata({"rlopt.policy_fingerprint": "f" * 32}), tmp_path / "other.parquet")
    with pytest.raises(EvaluationError, match="another policy"):
        rated_by_people(place, replace(source, path=tmp_path / "other.parquet"), EvalConfig())
    with pytest.raises(EvaluationError, match="name the reviews"):
        rated_by_people(None, source, EvalConfig(max_misleading=0.1))
    assert rated_by_people(None, source, EvalConfig()) == ()


@pytest.fixture
def refusals(run: Run, titles: Path, tmp_path: Path) -> dict[str, tuple[Callable[[], Any], str]]:
    (tmp_path / "text.db").write_text("no database")
    (tmp_path / "short.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"item_id": ["a"], "title": ["b"]}), tmp_path / "two.parquet")
    return {
        "nothing": (lambda: export(str(tmp_path / "no.db"), None), "no such file"),
        "text": (lambda: Reviews.read(tmp_path / "text.db"), "Cannot open the reviews"),
        "driver": (lambda: Reviews.read("mysql://me@host/x"), "in PostgreSQL"),
        "url": (lambda: Reviews.read("postgresql://me@127.0.0.1:notaport/x"), "no URL"),
        "two": (lambda: read_titles_table(tmp_path / "two.parquet"), "no output of rlopt generate"),
        "short": (lambda: read_titles_table(tmp_path / "short.parquet"), "no Parquet file, or damaged"),
        "host": (lambda: review(run, titles, str(tmp_path / "x.db"), ReviewConfig(host="192.0.2.1")), "Cannot listen"),
        "empty": (lambda: export(_empty(tmp_path), tmp_path / "a.parquet"), "Nothing is approved"),
    }


def _empty(folder: Path) -> str:
    with opened(str(folder / "empty.db"), create=True):
        return str(folder / "empty.db")


@pytest.mark.parametrize("what", ["nothing", "text", "driver", "url", "two", "short", "host", "empty"])
def test_what_cannot_be_done_is_said_in_a_line(refusals: dict[str, tuple[Callable[[], Any], str]], what: str) -> None:
    call, told = refusals[what]
    with pytest.raises((ReviewError, RunError), match=told) as found:
        call()
    assert "\n" not in str(found.value)


def test_a_short_token_and_a_missing_extra_are_refused(
    run: Run, titles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLOPT_REVIEW_TOKEN", "short")
    with pytest.raises(ReviewError, match="16 characters"):
        review(run, titles, str(tmp_path / "x.db"), ReviewConfig(host="0.0.0.0"))  # noqa: S104
    monkeypatch.setattr("rlopt.reviewing.database.find_spec", lambda name: None if name == "uvicorn" else True)
    with pytest.raises(ReviewError, match=r"need uvicorn: pip install 'rlopt\[review\]'"):
        needs("sqlalchemy", "uvicorn")
