"""Belonging as fit-reward learns it, and as the stages after it load it."""

from pathlib import Path

import numpy as np
import pytest

from reward.belonging.belonging import MIN_ITEMS
from reward.logs.splits import Splits
from reward.model.reward_model import RewardModel
from rlopt.run import BELONGING
from rlopt.stages.common.belonging import fit_belonging
from rlopt.stages.common.opened import OpenedRun
from tests.stages.menu import make_arms, make_run

ARMS = make_arms(MIN_ITEMS + 40)
IDS = [item.item_id for item in ARMS.items]


class NoEncoder:
    encoder = None
    observational = False


def test_few_items_teach_nothing_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    splits = Splits(tuple(IDS[: MIN_ITEMS - 1]), (), tuple(IDS[MIN_ITEMS - 1 :]))
    assert fit_belonging(ARMS, splits, None, 0) is None
    assert f"Got {MIN_ITEMS - 1}" in capsys.readouterr().err


def test_a_run_without_it_has_none(tmp_path: Path) -> None:
    assert OpenedRun(make_run(tmp_path / "run", make_arms(30))).belonging is None


def test_titles_of_test_items_are_compared_with_their_logged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = Splits(tuple(IDS[:MIN_ITEMS]), (), tuple(IDS[MIN_ITEMS:]))
    found = fit_belonging(ARMS, splits, None, 0)
    assert found is not None
    run = make_run(tmp_path / "run", ARMS, lambda _: splits)
    found.save(run / BELONGING)
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: NoEncoder())
    opened = OpenedRun(run).belonging
    assert opened is not None
    assert opened.relevance is not None
    last = ARMS.items[-1]
    logged = [str(title) for title in ARMS.title[ARMS.item_index == len(IDS) - 1]]
    assert opened.relevance.own[last.item_id] == tuple(logged)
    own, foreign = opened.predict([last, last], [logged[0], str(ARMS.title[0])]).scores("relevance")
    assert own > foreign
    assert np.isfinite([own, foreign]).all()
