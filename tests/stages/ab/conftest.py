"""Runs of the tests here have no reward of their own: one that knows the menu stands in for it."""

import pytest

from reward.model.reward_model import RewardModel
from tests.stages.menu import MenuReward


@pytest.fixture(autouse=True)
def reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: MenuReward())
