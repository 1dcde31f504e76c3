"""``rlopt explore``: which titles to show next, how often, and what that will tell."""

from pathlib import Path

import numpy as np

from reward.arrays import BoolArray, FloatArray
from reward.logs.sources.local import Source
from rlopt.assignment_hash import RULE
from rlopt.config import ExploreConfig
from rlopt.exploring.allocation import Allocation, Horizon, allocate, doubt_of_best, relative_rates
from rlopt.exploring.beliefs import Beliefs, Clicks, discount, learn
from rlopt.exploring.promise import simulate_plan
from rlopt.exploring.selection import choose_items
from rlopt.exploring.tested import always_valid, leaders_lift
from rlopt.run import Run
from rlopt.stages.common.outputs import check_output
from rlopt.stages.explore.candidates import Candidates, read_candidates
from rlopt.stages.explore.plan_table import beta_of, plan_table, write_plan
from rlopt.stages.explore.result import ExploreResult
from rlopt.stages.explore.results import read_results

_STANDING = 5.0  # clicks that the model's rate of an item counts for


def explore(
    run: Run,
    titles_file: Source,
    out: str | Path,
    config: ExploreConfig | None = None,
    *,
    results: Source | None = None,
    columns: str | None = None,
    query: str | None = None,
) -> ExploreResult:
    """Write a plan: titles of the items that are worth exploring, with the exact probability of each.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    titles_file
        Titles that may be shown: item_id and title, and the item's fields; those in use today join them.
    out
        ``.parquet`` or ``.csv``: see `rlopt.stages.explore.plan_table`.
    config
        Settings.
    results
        Results of earlier plans of the same titles, see `rlopt.stages.explore.results.read_results`.
    columns, query
        As in ``--columns`` and ``--query``.

    Raises
    ------
    StageOrderError
        If the run has no reward model.
    LogError, ModelError
        If a file or the model cannot be read, or results do not fit the titles.
    RunError
        If ``out`` cannot be written.
    """
    config = config or ExploreConfig()
    check_output(out)
    candidates = read_candidates(run, titles_file, columns, query)
    clicks, shown = np.zeros((2, 0, *candidates.layout.shape))
    if results is not None:
        clicks, shown = read_results(run, results, candidates, columns)
    seen = _all_seen(candidates, clicks, shown, config.half_life)
    beliefs = learn(candidates.prior, seen, candidates.overdispersion)
    horizon = _horizon(candidates, clicks, shown, config)
    allocation = allocate(beliefs, horizon, floor=config.floor, seed=config.seed)
    begun = shown.sum(axis=(0, 2)) > 0
    certain = doubt_of_best(beliefs, config.seed) <= config.stop
    chosen = _chosen(candidates, beliefs, horizon, allocation, config, begun, certain, float(shown.sum()))
    decided = begun & ~chosen  # known well enough, at its end, or no longer worth its cost
    probability = np.where(decided[:, None], _best_only(beliefs), allocation.probability)
    loss, clicks_of_all = _losses(candidates, beliefs, horizon, allocation)
    tested = always_valid(seen.clicks, seen.impressions, candidates.today, beliefs.present, candidates.overdispersion)
    beta = beta_of(candidates, beliefs, horizon.rate)
    table = plan_table(candidates, beliefs, probability, chosen, decided, tested, beta)
    write_plan(table, Path(out), config.seed)
    promise = None
    if chosen.any():
        promise = simulate_plan(
            candidates.prior.take(chosen),
            seen.take(chosen),
            beliefs.take(chosen),
            (allocation.probability * horizon.left[:, None])[chosen],
            horizon.rate[chosen],
            candidates.today[chosen],
            overdispersion=candidates.overdispersion,
            seed=config.seed,
        )
    return ExploreResult(
        output=str(out),
        explored=int(chosen.sum()),
        decided=int(decided.sum()),
        left_alone=int(np.sum(~chosen & ~decided)),
        titles=int(np.sum(candidates.layout.present[chosen])),
        impressions=float(horizon.left[chosen].sum()),
        impressions_seen=float(shown.sum()),
        clicks_seen=float(clicks.sum()),
        expected_loss=float(loss[chosen].sum() / max(clicks_of_all, 1e-300)),
        leaders=leaders_lift(clicks, shown, candidates.today, candidates.overdispersion),
        proved=int(np.sum(np.max(np.where(_best_only(beliefs) > 0, tested[0], -np.inf), axis=1) > 0)),
        seed=config.seed,
        rule=RULE,
        promise=promise,
    )


def _all_seen(candidates: Candidates, clicks: FloatArray, shown: FloatArray, half_life: float | None) -> Clicks:
    """The logs as the oldest batch, which ages like one, then those of the plans so far."""
    return Clicks(
        np.concatenate([candidates.logged_clicks[None], clicks]),
        np.concatenate([candidates.logged_exposure[None], shown]),
        discount(1 + len(clicks), half_life),
    )


def _horizon(candidates: Candidates, clicks: FloatArray, shown: FloatArray, config: ExploreConfig) -> Horizon:
    """Rest of each item's exploration, at the rate that model and results give it."""
    whole = config.span * candidates.traffic
    seen, had = shown.sum(axis=(0, 2)), clicks.sum(axis=(0, 2))
    rate = (had + _STANDING) / (seen + _STANDING / np.maximum(candidates.rate, 1e-9))
    left = np.maximum(whole - seen, 0.0)
    after = config.afterwards * candidates.traffic
    return Horizon(np.minimum(whole / config.batches, left), left, after, rate, candidates.overdispersion)


def _chosen(
    candidates: Candidates,
    beliefs: Beliefs,
    horizon: Horizon,
    allocation: Allocation,
    config: ExploreConfig,
    begun: BoolArray,
    certain: BoolArray,
    spent: float,
) -> BoolArray:
    """Items to explore (on): with results only those that have begun, as far as budget and loss go, shape (n,)."""
    loss, clicks_of_all = _losses(candidates, beliefs, horizon, allocation)
    worth = horizon.total * horizon.rate * np.max(relative_rates(beliefs), axis=1)
    gain = np.where(certain | (horizon.left < horizon.batch / 2), 0.0, allocation.gain * worth)
    gain = np.where(begun, gain, 0.0) if begun.any() else gain
    budget = None if config.budget is None else max(config.budget - spent, 0.0)
    return choose_items(gain, loss, horizon.left, budget, config.loss * clicks_of_all)


def _losses(
    candidates: Candidates, beliefs: Beliefs, horizon: Horizon, allocation: Allocation
) -> tuple[FloatArray, float]:
    """Clicks that showing each item by its chances costs against today's title, (n,), and today's of all items."""
    relative = relative_rates(beliefs)
    today = relative[np.arange(len(relative)), candidates.today]
    clicks = horizon.left * horizon.rate
    return clicks * (today - np.sum(allocation.probability * relative, axis=1)), float(np.sum(clicks * today))


def _best_only(beliefs: Beliefs) -> FloatArray:
    relative = np.where(beliefs.present, relative_rates(beliefs), -np.inf)
    out: FloatArray = np.eye(relative.shape[1])[np.argmax(relative, axis=1)]
    return out
