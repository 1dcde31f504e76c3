"""Engines that add up the logs and train the reward model's trees: this process or a Dask cluster (``--engine``)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reward.dask_cluster import dask_client
from reward.model.boosting import TreeFitter, fit_trees
from reward.model.dask_trees import DaskTrees
from rlopt.config import RewardConfig
from rlopt.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Engine:
    """Engine of a fit.

    Parameters
    ----------
    trees
        Grower of the trees.
    client
        Cluster that reads the logs; None where this process does.
    """

    trees: TreeFitter = fit_trees
    client: "Client | None" = None


def check_engine(config: RewardConfig, scheduler: str | None) -> None:
    """Refuse an address for an engine that needs none.

    Raises
    ------
    ConfigError
        For ``--scheduler`` without ``--engine dask``.
    """
    if scheduler is not None and config.engine != "dask":
        raise ConfigError(f"--scheduler {scheduler} needs --engine dask.")


@contextlib.contextmanager
def engine_of(config: RewardConfig, scheduler: str | None) -> Iterator[Engine]:
    """The engine, for the time of the block; a cluster of this machine ends with it.

    Raises
    ------
    ModelError
        If Dask is not installed or the cluster does not answer.
    """
    if config.engine == "local":
        yield Engine()
        return
    with dask_client(scheduler) as client:
        yield Engine(DaskTrees(client), client)
