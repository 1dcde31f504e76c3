"""Shares of the evaluated titles that belong to their items and read like titles, next to the logged ones."""

import numpy as np

from reward.belonging.belonging import Belonging
from rlopt.report.content import BelongingShares
from rlopt.stages.offline_eval.case import Case


def shares_of(found: Belonging | None, case: Case) -> dict[str, BelongingShares]:
    """Policy, "logged" included -> shares of its titles; none without a model. No title is compared with itself."""
    if found is None:
        return {}
    out = {}
    for name, titles in case.evaluated.items():
        written = titles.written
        thought = found.predict([case.test.items[i] for i in written.item], written.title)
        out[name] = BelongingShares(
            None if found.relevance is None else float(np.mean(~thought.relevance.faulty)),
            None if found.fluency is None else float(np.mean(~thought.fluency.faulty)),
        )
    return out
