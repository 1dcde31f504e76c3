"""Who trains the reward model's trees: this process or a Dask cluster, as ``--engine`` says."""

from contextlib import AbstractContextManager, nullcontext

from reward.model.boosting import TreeFitter, fit_trees
from reward.model.dask_trees import dask_trees
from rlopt.config import RewardConfig
from rlopt.errors import ConfigError


def check_engine(config: RewardConfig, scheduler: str | None) -> None:
    """Refuse an address for an engine that needs none.

    Raises
    ------
    ConfigError
        For ``--scheduler`` without ``--engine dask``.
    """
    if scheduler is not None and config.engine != "dask":
        raise ConfigError(f"--scheduler {scheduler} needs --engine dask.")


def tree_engine(config: RewardConfig, scheduler: str | None) -> AbstractContextManager[TreeFitter]:
    """The engine, for the time of the block; a cluster of this machine ends with it."""
    return nullcontext(fit_trees) if config.engine == "local" else dask_trees(scheduler)
