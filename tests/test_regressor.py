"""The scikit-learn face of the reward model: its parameters, its predictions, its refusals."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_get_params_invariance, check_parameters_default_constructible

from reward.errors import LogError
from rlopt import TitleRewardRegressor

WORDS = {"new": 0.0, "soft": 0.5, "plain": -0.5}


def frame(n_items: int = 60, seed: int = 0) -> pd.DataFrame:
    """Titles whose word decides; true rates in the column y."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(n_items):
        colour = ("red", "blue")[n % 2]
        for word, effect in WORDS.items():
            rate = 0.1 * np.exp(effect)
            clicks = rng.binomial(3000, rate)
            rows.append((f"i{n}", f"{word} {colour} shirt", 3000, clicks, colour, rate))
    return pd.DataFrame(rows, columns=["item_id", "title", "impressions", "clicks", "colour", "y"])


@pytest.fixture(scope="module")
def fitted() -> TitleRewardRegressor:
    return TitleRewardRegressor(n_members=2).fit(frame().drop(columns="y"))


def test_predictions_are_near_the_true_rates(fitted: TitleRewardRegressor) -> None:
    new = frame(20, seed=1).assign(item_id=lambda f: "new-" + f["item_id"])
    predicted = fitted.predict(new.drop(columns=["clicks", "impressions", "y"]))
    assert predicted == pytest.approx(new["y"].to_numpy(), rel=0.2)
    assert fitted.score(new.drop(columns=["clicks", "impressions", "y"]), new["y"]) > 0.8


def test_parameters_are_those_of_scikit_learn(fitted: TitleRewardRegressor) -> None:
    check_get_params_invariance("TitleRewardRegressor", TitleRewardRegressor())
    check_parameters_default_constructible("TitleRewardRegressor", TitleRewardRegressor())
    other = clone(fitted).set_params(random_state=3)
    assert other.get_params() == {**fitted.get_params(), "random_state": 3}
    with pytest.raises(NotFittedError):
        other.predict(frame())


def test_a_frame_of_something_else_is_refused() -> None:
    with pytest.raises(LogError, match="item_id"):
        TitleRewardRegressor().fit(pd.DataFrame({"a": [1]}))
