"""The plan as a file: one row a title of an item that is explored or decided.

item_id, title, probability    what is shown, and how often; an item's probabilities add up to 1
state                          "explore", or "decided": one title with probability 1, and what it is known by
today                          true for the title shown today
lift, lift_low, lift_high      clicks over today's title, and its 95% credible interval
tested_low, tested_high        95% interval of the same by clicks alone, whatever the reward believes: it holds for all
                               titles at once, and whenever one looks (`rlopt.exploring.tested`); empty where clicks
                               tell nothing
alpha, beta                    Beta parameters of its click rate, for platforms that run a bandit of their own
seed                           of the rule of assignment (`rlopt.assignment_hash.RULE`, also in the file's metadata)
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from reward.arrays import BoolArray, FloatArray
from rlopt.assignment_hash import RULE
from rlopt.exploring.allocation import relative_rates
from rlopt.exploring.beliefs import Beliefs
from rlopt.stages.common.outputs import write_table
from rlopt.stages.explore.candidates import Candidates

_Z95 = 1.959964


def plan_table(
    candidates: Candidates,
    beliefs: Beliefs,
    probability: FloatArray,
    explored: BoolArray,
    decided: BoolArray,
    tested: tuple[FloatArray, FloatArray],
    beta: tuple[FloatArray, FloatArray],
) -> pa.Table:
    """The rows of the items that are explored or decided.

    Parameters
    ----------
    candidates, beliefs
        Titles of n items, and what is believed of them.
    probability
        Shape (n, k).
    explored, decided
        Shape (n,); items that are neither stay as they are and have no row.
    tested
        `always_valid`.
    beta
        `beta_of`.
    """
    layout = candidates.layout
    shown = probability > 0
    rows = np.flatnonzero(((explored | decided)[:, None] & shown)[layout.item, layout.place]).tolist()
    difference, error = beliefs.against(candidates.today)
    ends = {"lift": 0.0, "lift_low": -_Z95, "lift_high": _Z95}
    lifts = {name: np.expm1(layout.rows(difference + reach * error))[rows] for name, reach in ends.items()}
    return pa.table(
        {
            "item_id": pa.array([candidates.items[row].item_id for row in rows], pa.string()),
            "title": pa.array([candidates.titles[row] for row in rows], pa.string()),
            "probability": layout.rows(probability)[rows],
            "state": pa.array(np.where(decided[layout.item[rows]], "decided", "explore").tolist(), pa.string()),
            "today": (layout.place == candidates.today[layout.item])[rows],
            **lifts,
            **{
                f"tested_{name}": _lift(layout.rows(end)[rows])
                for name, end in zip(("low", "high"), tested, strict=True)
            },
            "alpha": layout.rows(beta[0])[rows],
            "beta": layout.rows(beta[1])[rows],
        }
    )


def _lift(log_ratio: FloatArray) -> pa.Array:
    """Lifts from log ratios; null where they have no bound."""
    bounded = np.isfinite(log_ratio)
    return pa.array(np.expm1(np.where(bounded, log_ratio, 0.0)), mask=~bounded)


def write_plan(table: pa.Table, out: Path, seed: int) -> None:
    """Write the plan with its seed and the rule of assignment.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    table = table.append_column("seed", pa.array(np.full(len(table), seed, dtype=np.int64)))
    write_table(table.replace_schema_metadata({"assignment": RULE, "seed": str(seed)}), out)


def beta_of(candidates: Candidates, beliefs: Beliefs, rate: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Parameters of the Beta distribution with each title's expected rate and error, shape (n, k) each.

    The error holds what is not known of the item's level, too: titles of an item then look more independent than they
    are, which a platform's own bandit takes for granted anyway.
    """
    mean = np.clip(rate[:, None] * relative_rates(beliefs), 1e-9, 0.99)
    variance = np.diagonal(beliefs.covariance, axis1=1, axis2=2) + candidates.rate_std[:, None] ** 2
    size = np.maximum((1 - mean) / (mean * variance) - 1, 1e-3)
    return mean * size, (1 - mean) * size
