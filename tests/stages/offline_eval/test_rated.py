"""Ratings on the review's pages, in a database, decide with `offline-eval --max-misleading`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlopt.files import fingerprint
from rlopt.reviewing.database import opened
from rlopt.reviewing.proposals import add
from rlopt.reviewing.ratings import next_to_rate, rate
from rlopt.run import Run
from tests.conftest import Outcome
from tests.reviewing.shop import proposal
from tests.stages.menu import make_arms, make_run
from tests.stages.offline_eval.test_evaluate import use

TITLES = 100


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(360))


def rated(place: Path, source: str, misleading: int) -> None:
    """Titles of a policy, and two people who rate all of them in the order they are given, and agree."""
    rows = [proposal(k, source=source) for k in range(TITLES)]
    with opened(place, create=True) as engine:
        add(engine, rows, seed=0, second_opinions=0.0)
        for who in ("Ann", "Bob"):
            for place_in_order in range(TITLES):
                with engine.connect() as connection:
                    row = next_to_rate(connection, who)
                assert row is not None
                rate(engine, who, row.id, {"misleading": place_in_order < misleading}, f"{who}-{row.id}")


@pytest.mark.parametrize(
    ("misleading", "decision", "code"), [(0, "launch", 0), (4, "insufficient-evidence", 4), (20, "hold", 3)]
)
def test_titles_that_people_find_misleading_hold_the_launch(
    run: Run,
    tmp_path: Path,
    rlopt: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    misleading: int,
    decision: str,
    code: int,
) -> None:
    """0, 4 and 20% of the titles, where 5% are allowed: the interval ends below that, holds it, and begins above it."""
    use(monkeypatch)
    place, preset = tmp_path / "reviews.db", tmp_path / "preset.yaml"
    preset.write_text("eval: {samples: 2, draws: 100, best_of: 0, max_text_kl: 50}\n")
    rated(place, fingerprint(run / "ppo"), misleading)
    asked = ("offline-eval", "--run", run.path, "--config", preset, "--gate", "--json")
    assert rlopt(*asked).json["verdict"] == "launch"  # whoever does not ask people
    found = rlopt(*asked, "--reviews", place, "--max-misleading", "0.05")
    assert (found.json["verdict"], found.code) == (decision, code)
    report = json.loads((run / "eval" / "report.json").read_text(encoding="utf-8"))
    (shares,) = report["rated"]
    assert (shares["question"], shares["n_titles"], shares["n_twice"]) == ("misleading", TITLES, TITLES)
    assert shares["share"] == misleading / TITLES
    reason = next(one for one in report["verdict"]["reasons"] if one["topic"] == "misleading")
    assert reason["status"] == {"launch": "passed", "hold": "hold"}.get(decision, "doubt")
    assert f"{misleading / TITLES:.1%} of the titles misleading" in (run / "eval" / "report.html").read_text("utf-8")
