"""Findings on how titles were assigned: propensities, traffic, and comparable or differing circumstances."""

import numpy as np

from ..arms import Arms
from ..logs.balance import MIN_TIED, Balance
from ..logs.circumstances import unlike
from ..logs.impression_columns import DATE, HOUR, POSITION, TIME, WEEKDAY
from ..logs.read import LogData
from .diagnosis import SAMPLE_RATIO_LEVEL
from .findings import Facts, Lines

SMALL_PROPENSITY = 0.01
MAX_POOLED = 0.1
"""Share of the impressions at rare values, above which a column cannot be taken off either."""

_CLEAR_RATIO = 1.15


def evaluation(logs: LogData, facts: Facts) -> Lines:
    """Check if policies over logged titles can be evaluated exactly: propensities, and traffic that fits them."""
    arms, totals = logs.arms, logs.totals
    share = totals.propensity_impressions / totals.impressions
    ratio = facts.sample_ratio
    worst = f" (worst: {', '.join(ratio.worst)})" if ratio.worst else ""
    if arms.propensity_logged:
        low = float(np.mean(arms.propensity < SMALL_PROPENSITY))
        yield "ok", f"Exact off-policy evaluation: yes, {share:.0%} of the impressions have a logged propensity."
        if low > 0:
            yield (
                "warning",
                (f"{low:.1%} of the titles have a propensity below {SMALL_PROPENSITY}: their weights will be large."),
            )
        if logs.weighted is None:  # else the sample ratio holds each item's propensities against its traffic
            yield from _propensity_sums(arms)
        if ratio.mismatched:
            yield (
                "warning",
                (
                    f"Sample-ratio mismatch: in {ratio.mismatched:,} of {ratio.tested:,} items the traffic does not "
                    f"agree with the propensities (chi-square, false-discovery rate {SAMPLE_RATIO_LEVEL:.0%}){worst}. "
                    "Find out why before trusting any comparison."
                ),
                "none" if ratio.agrees else "doubt",
                "sample_ratio",
            )
        return
    partly = f" Only {share:.1%} of the impressions have a propensity." if share > 0 else ""
    yield (
        "warning",
        (
            "Exact off-policy evaluation: only if titles were assigned at random within an item, since propensities "
            f"are not logged and were estimated from traffic shares.{partly} Map or log propensity."
        ),
    )
    if ratio.mismatched:
        yield (
            "warning",
            (
                f"Traffic is not split equally in {ratio.mismatched:,} of {ratio.tested:,} items{worst}. If shares "
                "followed results or users, comparisons of titles are confounded; if they were intended, log them."
            ),
            "doubt" if facts.assignment == "randomized" and not ratio.agrees else "none",
            "unequal_traffic",
        )


def _propensity_sums(arms: Arms) -> Lines:
    total = np.bincount(arms.item_index, arms.propensity, minlength=len(arms.items))
    # A title may have a propensity and no impression yet, so sums below one are usual; above one they cannot be.
    above = int(np.count_nonzero(total > 1.05))
    if above:
        yield (
            "warning",
            (
                f"The propensities of {above:,} items add up to more than 1 over their titles: they are not the "
                "chance of a title given its item."
            ),
            "doubt",
            "propensity_sums",
        )


def circumstances(logs: LogData, facts: Facts) -> Lines:
    """Check if an item's titles were shown under comparable circumstances, by the columns of the impression."""
    if logs.weighted is not None:
        yield (
            "ok",
            (
                "Propensities differ between impressions of one title, so each impression counts 1 / propensity: "
                "effective clicks are fewer than those seen."
            ),
            "note",
            "row_propensities",
        )
    found = unlike(logs.balances)
    for balance in found:
        yield from _unlike(balance, logs.columns["item_id"])
    alike = [balance for balance in logs.balances if balance not in found]
    if names := dict.fromkeys(balance.column for balance in alike if not balance.columns):
        joint = any(balance.columns for balance in alike) and not any(balance.columns for balance in found)
        also = ", and by their combinations" if joint else ""
        yield "ok", f"Titles of one item were shown under similar circumstances by {', '.join(names)}{also}."


def _unlike(balance: Balance, item_id: str) -> Lines:
    if balance.people:
        yield from _unlike_people(balance)
        return
    measure = f" (Cramer's V {balance.imbalance:.2f})"
    if balance.columns:
        measure = "" if balance.held else f" (which alone parts their rates by {balance.imbalance:.1%})"
    shown = f"Titles of one item were shown at different {balance.column}{measure}"
    differ = f"and {balance.outcomes} differ"
    if balance.held:
        yield (
            "warning",
            (
                f"{shown}, nearly every title at its own, and clicks differ: whether {balance.column} or the title "
                f"makes the difference cannot be told. {_apart(balance.column, item_id, several=bool(balance.columns))}"
            ),
            "doubt",
            "unlike_circumstances",
        )
    elif not balance.outcomes:
        compared = f" Revenue may: titles are compared at equal {balance.column}." if balance.adjusted else ""
        yield "ok", f"{shown}, by which clicks do not differ.{compared}"
    elif balance.tied_share < MIN_TIED:
        yield (
            "warning",
            (
                f"{shown}, {differ} by it, but few titles were shown at several levels: "
                f"{1 - balance.tied_share:.0%} of the impressions cannot be compared with the others. "
                "Titles that look better may only have been shown where people click. Show titles of one item side by "
                "side."
            ),
            "doubt",
            "unlike_circumstances",
        )
    elif balance.columns and not balance.adjusted:
        yield (
            "warning",
            (
                f"{shown}, {differ} by it, but there are too many combinations to compare. Titles that look "
                "better may only have been shown where people click. Log coarser columns beside these."
            ),
            "doubt",
            "unlike_circumstances",
        )
    elif balance.pooled > MAX_POOLED:
        yield (
            "warning",
            (
                f"{shown}, {differ} by it, but {balance.pooled:.0%} of the impressions are at values too rare "
                "to compare. Titles that look better may only have been shown where people click. Log a coarser column "
                "beside it."
            ),
            "doubt",
            "unlike_circumstances",
        )
    else:
        by = "by it"
        if balance.outcomes == "clicks":
            by += f" {balance.click_ratio:.1f}-fold" if balance.click_ratio >= _CLEAR_RATIO else " within items"
        yield (
            "warning",
            (
                f"{shown}, {differ} {by}: titles are compared at equal {balance.column}, where a title shown "
                "less counts as fewer clicks. That is enough only if nothing else chose the titles."
            ),
            "note",
            "equal_levels",
        )


def _apart(column: str, item_id: str, *, several: bool) -> str:
    """Ways out of a column that titles hold."""
    if several or column in (HOUR, WEEKDAY, DATE, TIME, POSITION):
        return f"Show the titles of an item at the same {column}."
    return (
        f"To compare titles at the same {column} only, make it part of the item: --columns item_id={item_id}+{column}. "
        f"If it only names or describes the title, leave it out: --columns {column}=."
    )


def _unlike_people(balance: Balance) -> Lines:
    shown = f"Titles of one item were shown to different values of {balance.column}"
    if not balance.outcomes:
        yield "ok", f"{shown}, by which clicks do not differ."
        return
    yield (
        "warning",
        (
            f"{shown}: those who saw one title click more on other items, too, than those who saw another (correlation "
            f"{balance.imbalance:.2f}). Titles that look better may only have been shown to people who click. Log what "
            "titles were chosen by: the propensity of each impression, or the segment."
        ),
        "doubt",
        "unlike_circumstances",
    )
