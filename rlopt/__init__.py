"""rlopt: titles that earn clicks, learned from logs.

``fit-reward`` learns what a title earns, ``ppo`` trains a title policy against it, ``offline-eval`` says whether the
policy would win before anyone sees it. The names below are loaded on first use, so ``import rlopt`` is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlopt import neighbours

if TYPE_CHECKING:
    from reward.items import Item
    from reward.model.reward_model import RewardModel
    from rlopt.ope.evaluation import OffPolicyEvaluation
    from rlopt.policy.title_policy import TitlePolicy
    from rlopt.regressor import TitleRewardRegressor
    from rlopt.run import Run

__version__ = "0.2.0"
__all__ = ["Item", "OffPolicyEvaluation", "RewardModel", "Run", "TitlePolicy", "TitleRewardRegressor", "__version__"]

_HOMES = {
    "Item": "reward.items",
    "OffPolicyEvaluation": "rlopt.ope.evaluation",
    "RewardModel": "reward.model.reward_model",
    "Run": "rlopt.run",
    "TitlePolicy": "rlopt.policy.title_policy",
    "TitleRewardRegressor": "rlopt.regressor",
}


neighbours.check()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
