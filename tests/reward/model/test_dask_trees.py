"""Trees on a real local cluster of two workers against those of one machine; the loss of parts against the whole."""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from reward import dask_cluster
from reward.dask_cluster import dask_client
from reward.errors import LogError, ModelError
from reward.logs.read import read_logs
from reward.model import boosting, dask_trees
from reward.model.boosting import ItemLoss, choice_log_likelihood
from reward.model.dask_trees import PartitionLoss, partitions
from reward.model.linear import ArmCounts, Noise

from ..log_fixtures import assert_same_arms, impressions_log

pytest.importorskip("distributed")
ROUNDS = 40


def shop(seed: int, n_items: int = 500) -> tuple[np.ndarray, ArmCounts, np.ndarray]:
    """Feature table, counts and true title effects; the fourth feature is a category."""
    rng = np.random.default_rng(seed)
    item = rng.permutation(np.repeat(np.arange(n_items), 5))
    table = rng.standard_normal((len(item), 4)).astype(np.float32)
    table[:, 3] = rng.integers(0, 4, len(item))
    effect = 0.4 * (table[:, 0] > 0) * (table[:, 1] > 0) + 0.3 * (table[:, 3] == 2)
    rate = np.exp(-3.5 + rng.standard_normal(n_items)[item] + effect)
    return table, ArmCounts(rng.binomial(3000, np.minimum(rate, 0.5)).astype(float), np.full(len(item), 3000.0), item,
                       n_items), effect  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[dask_trees.DaskTrees]:
    with pytest.MonkeyPatch.context() as patch, dask_client() as client:
        for module in (boosting, dask_trees):
            patch.setattr(module, "MAX_ROUNDS", ROUNDS)
        yield dask_trees.DaskTrees(client)


def test_two_workers_grow_as_good_trees_as_one_machine(cluster: dask_trees.DaskTrees) -> None:
    """Same objective, offset, weights and rule to stop.

    Exact equality is not to be expected (bins come from a part of the rows, sums are added in another order): compared
    are the predictions on new items, their fit to the truth, and the likelihood of the new items' clicks.
    """
    assert len(cluster.client.scheduler_info(n_workers=-1)["workers"]) == 2
    table, rows, _ = shop(0)
    rng = np.random.default_rng(1)
    offset = 0.05 * rng.standard_normal(len(table))
    drawn = np.bincount(rng.integers(rows.n_items, size=rows.n_items), minlength=rows.n_items).astype(float)
    noise = Noise(1.2, 0.01)
    new_table, new_rows, truth = shop(2)
    effects, likelihoods = [], []
    for fit in (boosting.fit_trees, cluster):
        data = boosting.dataset(table, ["a", "b", "c", "d"], [3], 0)
        booster = fit(boosting.TreeTask(data, rows, offset, drawn, noise, seed=0, threads=1))
        assert 1 <= booster.best_iteration <= ROUNDS
        effects.append(booster.predict(new_table, raw_score=True, num_iteration=booster.best_iteration))
        likelihoods.append(choice_log_likelihood(new_rows, effects[-1], np.ones(len(truth), bool)))
    assert np.corrcoef(*effects)[0, 1] > 0.98
    right = [np.corrcoef(effect, truth)[0, 1] for effect in effects]
    assert min(right) > 0.9
    assert abs(right[0] - right[1]) < 0.02
    gain = choice_log_likelihood(new_rows, truth, np.ones(len(truth), bool))
    none = choice_log_likelihood(new_rows, np.zeros(len(truth)), np.ones(len(truth), bool))
    assert abs(likelihoods[0] - likelihoods[1]) < 0.03 * (gain - none)


def test_two_processes_read_the_arms_that_one_reads(cluster: dask_trees.DaskTrees, tmp_path: Path) -> None:
    """Other logs are tested in tests/reward/logs/test_cluster.py, with workers that start at once."""
    log = impressions_log(8, n=2_000)
    log.to_parquet(tmp_path / "log.parquet", row_group_size=300)
    found = read_logs(tmp_path / "log.parquet", threads=1, client=cluster.client)
    assert_same_arms(found.arms, read_logs(tmp_path / "log.parquet", threads=1).arms)
    log.assign(click=7).to_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(LogError, match=r"clicks .column 'click'. must not exceed .* in row 1 of"):
        read_logs(tmp_path / "wrong.parquet", client=cluster.client)


def test_the_loss_of_parts_is_the_loss_of_the_whole() -> None:
    _, rows, effect = shop(3, n_items=50)
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, rows.n_items).astype(float)[rows.item]
    whole = ItemLoss(rows, 0.1 * effect, weight, Noise(1.5, 0.02))
    prediction = rng.standard_normal(len(effect))
    expected = whole.gradients(prediction)
    order, sizes = partitions(rows.item, 3)
    for part in np.split(order, np.cumsum(sizes)[:-1]):
        part = rng.permutation(part)  # workers may hold parts in any order
        found = PartitionLoss(whole)(part.astype(np.float32), prediction[part])
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other[part], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("counts", "n"), [([5] * 40, 4), ([1], 3), ([1, 100, 1], 2), ([3, 3], 5)])
def test_no_item_is_cut_in_two(counts: list[int], n: int) -> None:
    item = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    order, sizes = partitions(item, n)
    assert sorted(order) == list(range(len(item)))
    assert sum(sizes) == len(item)
    assert 1 <= len(sizes) <= n
    assert min(sizes) > 0
    sets = [set(item[part]) for part in np.split(order, np.cumsum(sizes)[:-1])]
    assert all(not one & other for one, other in pairwise(sets))


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ModelError, match="No Dask scheduler answers at") as caught, dask_client(address):
            pass
        assert "\n" not in str(caught.value)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModelError, match=r"needs the extra \[dask\].*pip install 'rlopt\[dask\]'"):
        dask_client().__enter__()
