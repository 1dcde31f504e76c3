"""The titles that may be shown, and what the run's reward and logs say of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray, IntArray
from reward.errors import LogError
from reward.items import Item
from reward.logs.sources.local import Source, local
from rlopt.exploring.beliefs import TitlePrior
from rlopt.exploring.layout import Layout
from rlopt.progress import note
from rlopt.run import DATA, Run
from rlopt.stages.common.columns import titles_of
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.opened import OpenedRun

MOST_TITLES = 40


@dataclass(frozen=True)
class Candidates:
    """Titles of n items in m rows, each item's together and today's among them.

    Parameters
    ----------
    items, titles
        Of each row.
    layout
        Place of each row in tables of items by titles.
    today
        Place of each item's title of today, shape (n,): the current one, without logs the first of the file.
    prior
        Prior from the reward.
    logged_clicks, logged_exposure
        Logged clicks and exposure of the titles, shape (n, k); zero where titles were not shown at random within items.
    rate, rate_std
        Clicks per impression of each item's average title by the model, and the relative error of it, shape (n,).
    traffic
        Impressions of each item in the run's logs; of new items the median, shape (n,).
    overdispersion
        Variance of the logs' counts over a binomial's.
    """

    items: Sequence[Item]
    titles: Sequence[str]
    layout: Layout
    today: IntArray
    prior: TitlePrior
    logged_clicks: FloatArray
    logged_exposure: FloatArray
    rate: FloatArray
    rate_std: FloatArray
    traffic: FloatArray
    overdispersion: float

    def first_rows(self) -> IntArray:
        """The first row of each item, shape (n,)."""
        rows: IntArray = np.flatnonzero(self.layout.place == 0)
        return rows

    def rows_of(self) -> dict[tuple[str, str], int]:
        """(item id, title) -> row."""
        return {(item.item_id, t): i for i, (item, t) in enumerate(zip(self.items, self.titles, strict=True))}


def read_candidates(run: Run, titles_file: Source, columns: str | None, query: str | None) -> Candidates:
    """From a file of titles; the items' titles of today join them.

    Raises
    ------
    LogError
        If the file cannot be read, is empty, or gives an item more than `MOST_TITLES` titles.
    """
    opened = OpenedRun(run)
    with local(titles_file, query=query) as here:
        items, titles, _ = titles_of(run, here, columns)
        check_known((item.item_id for item in items), opened.arms.items, here, described=opened.describes(items))
        where = str(here)
    owners, texts, today = _with_current(opened.with_known_fields(items), titles, where)
    index = {item_id: i for i, item_id in enumerate(dict.fromkeys(item.item_id for item in owners))}
    layout = Layout.of(np.array([index[item.item_id] for item in owners], dtype=np.int64))
    predicted, joint = opened.reward.predict(owners, texts), opened.reward.joint_effects(owners, texts)
    prior = TitlePrior(
        layout.lay(joint.mean), layout.lay(joint.factors), layout.lay(joint.rest, 1.0), layout.present
    ).with_doubt(*opened.trust)
    clicks, exposure = _logged(run, opened.arms, owners, texts)
    counted = np.bincount(layout.item)
    value = np.maximum(predicted.reward, 1e-300)
    return Candidates(
        owners,
        texts,
        layout,
        today,
        prior,
        layout.lay(clicks),
        layout.lay(exposure),
        np.bincount(layout.item, predicted.p_click) / counted,
        np.bincount(layout.item, predicted.reward_std / value) / counted,
        _traffic(opened.arms, list(index)),
        opened.reward.click.basis.noise.overdispersion,
    )


def _with_current(items: Sequence[Item], titles: Sequence[str], where: str) -> tuple[list[Item], list[str], IntArray]:
    """Items and titles with each title once and today's title first, and the place of that: 0 for all."""
    if not titles:
        raise LogError(f"{where} holds no title to show. Write some: rlopt generate ITEMS -o titles.parquet --n 3.")
    found: dict[str, dict[str, Item]] = {}
    for item, title in zip(items, titles, strict=True):
        known = found.setdefault(item.item_id, {item.current_title: item} if item.current_title else {})
        known.setdefault(title, item)
    many = next((item_id for item_id, known in found.items() if len(known) > MOST_TITLES), None)
    if many is not None:
        raise LogError(
            f"{where} has {len(found[many])} titles of item {many!r:.60}, today's included. Give at most {MOST_TITLES} "
            "an item: more cannot be told apart."
        )
    rows = [(item, title) for known in found.values() for title, item in known.items()]
    owners, texts = [item for item, _ in rows], [title for _, title in rows]
    return owners, texts, np.zeros(len(found), dtype=np.int64)


def _logged(run: Run, arms: Arms, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Logged clicks and exposure of the titles, shape (m,) each."""
    clicks, exposure = np.zeros(len(titles)), np.zeros(len(titles))
    if read_report(run / DATA).assignment == "unknown":
        note("Nobody knows how the logged titles were chosen: the prior ignores their click rates")
        return clicks, exposure
    seen = {key: i for i, key in enumerate(zip(arms.item_ids.tolist(), arms.title.tolist(), strict=True))}
    for row, (item, title) in enumerate(zip(items, titles, strict=True)):
        arm = seen.get((item.item_id, title))
        if arm is not None:
            clicks[row], exposure[row] = arms.clicks[arm], arms.exposure[arm]
    return clicks, exposure


def _traffic(arms: Arms, item_ids: Sequence[str]) -> FloatArray:
    shown = np.bincount(arms.item_index, arms.impressions, minlength=len(arms.items))
    known = {item.item_id: float(n) for item, n in zip(arms.items, shown, strict=True)}
    usual = float(np.median(shown))
    return np.array([known.get(item_id, usual) for item_id in item_ids])
