"""The reward model as scikit-learn has estimators: fit on a frame of arms, predict, get_params, clone."""

from typing import Any, Self

from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from reward.arrays import FloatArray
from reward.logs.catalogue import read_titles
from reward.logs.read import read_logs
from reward.logs.schema import ColumnMapping
from reward.logs.sources.local import Source, local
from reward.model.reward_model import RewardModel
from rlopt import threads


class TitleRewardRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Expected value of an impression of a title, learned from logged titles (`reward.model.reward_model`).

    It has no log doctor, split, judge or run of ``rlopt fit-reward``: for notebooks, pipelines and comparisons. It
    predicts the same as `RewardModel`.

    Parameters
    ----------
    n_members
        Size of the ensemble.
    click_weight, conversion_weight, revenue_weight
        Value of a click, of a conversion, and of a unit of revenue.
    columns
        Your names for rlopt's columns, {"title": "headline"}.
    random_state
        Same seed, rows and threads: same model.

    Attributes
    ----------
    model_ : RewardModel
    feature_names_in_ : list of str
    """

    def __init__(
        self,
        *,
        n_members: int = 5,
        click_weight: float = 1.0,
        conversion_weight: float = 0.0,
        revenue_weight: float = 0.0,
        columns: dict[str, str] | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_members = n_members
        self.click_weight = click_weight
        self.conversion_weight = conversion_weight
        self.revenue_weight = revenue_weight
        self.columns = columns
        self.random_state = random_state

    def fit(self, X: Source, y: Any = None) -> Self:
        """Learn from logs: a pandas, polars or Arrow table, or a file, with item_id, title, clicks and item fields.

        ``y`` is not used: clicks and impressions are columns of ``X``.

        Raises
        ------
        LogError, ModelError
            If the table is none of logs, or teaches nothing.
        """
        logs = read_logs(X, columns=ColumnMapping.from_dict(self.columns or {}), threads=threads.available())
        self.model_ = RewardModel.fit(
            logs.arms,
            seed=self.random_state,
            n_members=self.n_members,
            click_weight=self.click_weight,
            conversion_weight=self.conversion_weight,
            revenue_weight=self.revenue_weight,
            threads=threads.available(),
        )
        self.feature_names_in_ = list(logs.context_columns)
        self._no_context = tuple(logs.dropped_columns)
        return self

    def predict(self, X: Source) -> FloatArray:
        """Reward of each row's title, shape (n_rows,); rows need item_id, title and the items' fields.

        Raises
        ------
        NotFittedError
            Before `fit`.
        LogError
            If the table lacks ids or titles.
        """
        check_is_fitted(self, "model_")
        with local(X) as here:
            mapping = ColumnMapping.from_dict(self.columns or {})
            items, titles, _ = read_titles(here, mapping, self._no_context)
        reward: FloatArray = self.model_.predict(items, titles).reward
        return reward
