"""Fault models: chances of known mixtures, thresholds, and measurements that may never speak against a title."""

import numpy as np
import pytest

from reward.belonging.faults import LEAST_TITLES, SOUND, Collected, FaultModel, Soundness
from reward.errors import ModelError

RNG = np.random.default_rng(0)
SOUND_X = RNG.normal([1.0, 1.0], 1.0, (20_000, 2))
LOW_FIRST = RNG.normal([-1.0, 1.0], 1.0, (20_000, 2))
LOW_SECOND = RNG.normal([1.0, -1.0], 1.0, (20_000, 2))


@pytest.fixture(scope="module")
def model() -> FaultModel:
    return FaultModel.fit(SOUND_X, {"first": LOW_FIRST, "second": LOW_SECOND}, (0.5, 0.5), 0.1)


def test_the_score_is_the_chance_of_a_known_mixture(model: FaultModel) -> None:
    x = np.array([[1.0, 1.0], [0.0, 0.0], [-1.0, 1.0], [2.0, -0.5]])
    # log-odds of N(1, 1) against N(-1, 1) are 2 x; half of all are sound, a quarter has each fault
    odds = np.exp(-2 * x) / 2
    found = model.judge(x)
    np.testing.assert_allclose(found.score, 1 / (1 + odds.sum(axis=1)), atol=0.02)
    assert found.fault[2] == "first"
    assert found.fault[3] == "second"


def test_the_threshold_is_missed_by_the_share_that_was_asked_for(model: FaultModel) -> None:
    assert model.judge(SOUND_X).faulty.mean() == pytest.approx(0.1, abs=1e-4)
    others = np.random.default_rng(1).normal(1.0, 1.0, (20_000, 2))
    assert model.judge(others).faulty.mean() == pytest.approx(0.1, abs=0.01)


def test_no_measurement_speaks_against_a_title_even_where_the_data_say_so() -> None:
    model = FaultModel.fit(LOW_FIRST, {"first": SOUND_X}, (1.0,), 0.1)
    assert (model.slopes >= 0).all()
    x = np.column_stack([np.linspace(-3, 3, 50), np.zeros(50)])
    assert (np.diff(model.judge(x).score) >= 0).all()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_false_alarms_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ModelError, match=r"false_alarms must be in \(0, 1\)"):
        FaultModel.fit(SOUND_X, {"first": LOW_FIRST}, (1.0,), share)


def test_groups_with_few_titles_get_no_model() -> None:
    collected = Collected()
    few = LEAST_TITLES - 1
    collected.add(("large", "small"), SOUND, SOUND_X[:few])
    collected.add(("large",), SOUND, SOUND_X[few : 2 * few])
    collected.add(("large", "small"), "first", LOW_FIRST[:100])
    assert list(collected.models({"first": 1.0}, 0.05)) == ["large"]
    assert collected.models({"first": 0.5, "second": 0.5}, 0.05) == {}


def test_a_model_comes_back_from_json_and_a_changed_one_is_refused(model: FaultModel) -> None:
    data = model.to_json()
    np.testing.assert_array_equal(FaultModel.from_json(data, 2).judge(LOW_FIRST).score, model.judge(LOW_FIRST).score)
    changes = [
        {"threshold": 2.0},
        {"scale": [0.0, 1.0]},
        {"slopes": [[-1.0, 0.0], [0.0, 0.0]]},
        {"center": [float("nan"), 0.0]},
        {"faults": []},
        {"intercepts": [0.0]},
    ]
    for change in changes:
        with pytest.raises(ValueError):
            FaultModel.from_json(data | change, 2)
    with pytest.raises(ValueError, match="measurements"):
        FaultModel.from_json(data, 3)


def test_what_cannot_be_told_is_never_faulty_and_what_says_nothing_always_is() -> None:
    found = Soundness.unknown(3)
    found.put_empty(np.array([1]))
    assert found.faulty.tolist() == [False, True, False]
    assert found.fault.tolist() == ["", "empty", ""]
