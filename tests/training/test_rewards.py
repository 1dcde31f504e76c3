"""The scores PPO maximises: scale, caution, constraints, and what the critic is told of unfinished titles."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from toy import ITEMS, Predicted, fresh_policy

from reward.belonging.belonging import Belongs
from reward.belonging.faults import Soundness
from reward.items import Item
from reward.model.caution import cautious_reward
from rlopt.policy.constraints import Constraints
from rlopt.training.rewards import BELOW_FLOOR, MAX_SCORE, LiftScale, TitleRewards

EOS = 1


def longer_is_better(items: Sequence[Item], titles: Sequence[str]) -> Predicted:
    return Predicted(np.array([0.01 * len(t.split()) for t in titles]), np.array([0.1 * ("odd" in t) for t in titles]))


def rewards(risk_aversion: float = 0.0) -> TitleRewards:
    scale = LiftScale(np.full(len(ITEMS), 0.02), 0.5)
    renderer = fresh_policy().renderer
    return TitleRewards(ITEMS, renderer, longer_is_better, scale, Constraints(), risk_aversion, EOS)


def call(reward: TitleRewards, completions: list[str], ids: list[list[int]] | None = None) -> dict[str, list[float]]:
    logged: dict[str, float] = {}
    batch = {
        "completions": completions,
        "completion_ids": ids or [[5, EOS]] * len(completions),
        "item_index": list(range(len(completions))),
        "log_metric": logged.__setitem__,
    }
    return {function.__name__: function(**batch) for function in reward.functions()}


def test_scale_is_relative_to_the_item_and_to_the_spread_of_sft_titles() -> None:
    scale = LiftScale.fit(np.array([0.01, 0.10]), np.array([0, 0, 1, 1]), np.array([0.009, 0.013, 0.09, 0.13]))
    assert scale.center == pytest.approx(0.1)
    assert scale.spread == pytest.approx(0.2)
    np.testing.assert_allclose(scale.score(np.array([0, 1]), np.array([0.013, 0.13])), [1.0, 1.0])


@pytest.mark.parametrize("doubt", [0.0, 0.5, 3.0])
def test_a_model_that_is_unsure_of_every_title_scores_them_as_one_that_is_sure(doubt: float) -> None:
    """Doubt that is the same for all titles does not separate any two of them."""
    rng = np.random.default_rng(0)
    baseline, item = np.full(50, 0.02), np.repeat(np.arange(50), 4)
    reward = 0.02 * rng.lognormal(0.0, 0.2, 200)
    sure, unsure = (cautious_reward(Predicted(reward, np.full(200, d)), 1.0) for d in (0.0, doubt))
    scores = LiftScale.fit(baseline, item, unsure).score(item, unsure)
    np.testing.assert_allclose(scores, LiftScale.fit(baseline, item, sure).score(item, sure), atol=1e-9)
    assert abs(scores.mean()) < 0.05


def test_scores_are_bounded() -> None:
    scale = LiftScale(np.array([0.01]), 0.1)
    assert scale.score(np.array([0, 0]), np.array([1.0, 0.0])).tolist() == [MAX_SCORE, -MAX_SCORE]


def test_lift_of_a_title() -> None:
    assert call(rewards(), ["a b", "a b c", "a"])["lift"] == pytest.approx([0.0, 1.0, -1.0])


def test_slots_are_filled_before_scoring() -> None:
    assert call(rewards(), ["<color> <type> new"])["lift"] == pytest.approx([1.0])


def test_caution_costs_what_is_not_known_about_the_title() -> None:
    (bold,), (cautious,) = (call(rewards(r), ["a b odd"])["lift"] for r in (0.0, 1.0))
    assert cautious == pytest.approx((1.5 * np.exp(-0.1) - 1) / 0.5)
    assert bold > cautious


def test_each_kind_of_violation_costs_one() -> None:
    got = call(rewards(), ["", "a b", "ab ab ab"], [[EOS], [5], [5, EOS]])["constraints"]
    assert got == [-1.0, -1.0, -1.0]


def test_so_far_is_what_the_functions_say_of_a_finished_title() -> None:
    reward = rewards(1.0)
    completions = ["a b odd", "ab ab ab", ""]
    finished = call(reward, completions)
    total = np.add(finished["lift"], finished["constraints"])
    np.testing.assert_allclose(reward.so_far([0, 1, 2], completions), total)


class Stub:
    """A title with "odd" in it is far from its item; one of a single word is half below the floor of fluency."""

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> Belongs:
        relevance = np.array([0.0 if "odd" in title else 0.9 for title in titles])
        fluency = np.array([0.2 if len(title.split()) == 1 else 0.9 for title in titles])
        nothing = np.full(len(titles), "", dtype=object)
        return Belongs(
            Soundness(relevance, np.full(len(titles), 0.3), nothing),
            Soundness(fluency, np.full(len(titles), 0.4), nothing),
        )


def test_a_title_that_does_not_belong_costs_by_how_far_it_is_below_the_floors() -> None:
    knows = replace(rewards(), belonging=Stub())  # type: ignore[arg-type]
    got = call(knows, ["a b", "a odd", "odd"])
    assert got["belonging"] == pytest.approx([0.0, -2 * BELOW_FLOOR, -3.5 * BELOW_FLOOR])
    assert got["lift"] == call(rewards(), ["a b", "a odd", "odd"])["lift"]


def test_without_a_model_of_belonging_nothing_is_added() -> None:
    assert set(call(rewards(), ["a b"])) == {"lift", "constraints"}
