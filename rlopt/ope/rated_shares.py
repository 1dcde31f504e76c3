"""The share of titles that people find faulty, from a random sample that one or two of them rated, with an interval.

A title counts for the share of its raters who say so: half, where two disagree. That is the chance that a reviewer
finds fault with a title, a figure that asks nobody who was right. Its interval is that of Clopper and Pearson (1934) in
mid-P form (Lancaster, 1961: as exact, without the excess of coverage), on the number of opinions that the sample is
worth: Korn and Graubard's effective sample size (Survey Methodology 24, 1998), from the spread between titles. Two
who agree on all titles are worth one rater; where they differ, two opinions on a title tell more than one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from reward.plain import Plain

from .reasons import Reason

MISLEADING = "misleading"
FEWEST = 20


@dataclass(frozen=True)
class RatedShare(Plain):
    """Answers of people to one question.

    Parameters
    ----------
    question
        Its name; yes is a fault.
    n_titles, n_twice
        Titles rated, and rated by two.
    share, low, high, confidence
        Chance that a reviewer finds this fault in a title.
    both, either
        Of the titles rated by two: both say so, at least one does.
    agreement, kappa
        Share of those titles on which the two agree, and beyond chance (Scott's pi); None without any, and where all
        answers are the same.
    """

    question: str
    n_titles: int
    n_twice: int
    share: float
    low: float
    high: float
    confidence: float
    both: int
    either: int
    agreement: float | None
    kappa: float | None


def rated_share(question: str, answers: Sequence[Sequence[bool]], confidence: float = 0.95) -> RatedShare:
    """Estimate from the answers to one question, a sequence for each title of the sample; raters have equal weights."""
    mean = np.array([sum(given) / len(given) for given in answers])
    pairs = np.array([given[:2] for given in answers if len(given) > 1], dtype=bool).reshape(-1, 2)
    low, high = share_interval(mean, confidence)
    agreement = float(np.mean(pairs[:, 0] == pairs[:, 1])) if len(pairs) else None
    return RatedShare(
        question,
        len(mean),
        len(pairs),
        float(mean.mean()),
        low,
        high,
        confidence,
        int(pairs.all(axis=1).sum()),
        int(pairs.any(axis=1).sum()),
        agreement,
        _kappa(pairs, agreement),
    )


def share_interval(
    mean: "np.ndarray[tuple[int], np.dtype[np.float64]]", confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of ``mean``, shape (n,), each in [0, 1]: 0 or 1, or between where raters differ."""
    n, share = len(mean), float(np.mean(mean))
    alpha = 1 - confidence
    variance = float(np.var(mean, ddof=1)) / n if n > 1 else 0.0
    worth = float(n)
    if variance > 0:
        narrowing = stats.norm.ppf(alpha / 2) / stats.t.ppf(alpha / 2, n - 1)
        worth = min(share * (1 - share) / variance * narrowing**2, 2.0 * n)
    return mid_p(share * worth, worth, alpha)


def mid_p(x: float, n: float, alpha: float) -> tuple[float, float]:
    """Mid-P interval of a binomial share: ``x`` of ``n``, which need not be whole numbers."""

    def above(p: float) -> float:
        """P(X > x) + P(X = x) / 2 under ``p``, with the incomplete beta function in place of sums."""
        at_least = special.betainc(x, n - x + 1, p) if x > 0 else 1.0
        more = special.betainc(x + 1, n - x, p) if x < n else 0.0
        return float(at_least + more) / 2

    low = 0.0 if x <= 0 else _root(lambda p: above(p) - alpha / 2)
    high = 1.0 if x >= n else _root(lambda p: above(p) - (1 - alpha / 2))
    return low, high


def rated_reasons(shares: Sequence[RatedShare], most: float | None) -> list[Reason]:
    """Reasons from the sample against a launch, where at most this share may be misleading."""
    found = next((one for one in shares if one.question == MISLEADING), None)
    if most is None:
        return []
    if found is None or found.n_titles < FEWEST:
        message = (
            f"People rated {0 if found is None else found.n_titles} titles for being misleading, at least {FEWEST} are "
            f"needed to tell whether more than {most:.1%} are."
        )
        return [Reason("misleading", "doubt", message, None, most)]
    told = (
        f"People find {found.share:.1%} of the titles misleading ({found.confidence:.0%} interval {found.low:.1%} to "
        f"{found.high:.1%}, {found.n_titles} titles"
    )
    if found.low > most:
        return [Reason("misleading", "hold", f"{told}): more than {most:.1%}.", found.share, most)]
    if found.high > most:
        return [Reason("misleading", "doubt", f"{told}): it may be more than {most:.1%}.", found.share, most)]
    return [Reason("misleading", "passed", f"{told}; at most {most:.1%}).", found.share, most)]


def rated_shares(rated: Mapping[str, Sequence[Sequence[bool]]], confidence: float = 0.95) -> tuple[RatedShare, ...]:
    """Estimate the share of every question."""
    return tuple(rated_share(question, answers, confidence) for question, answers in rated.items())


def _kappa(pairs: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]", agreement: float | None) -> float | None:
    if agreement is None:
        return None
    yes = float(pairs.mean())
    chance = yes**2 + (1 - yes) ** 2
    return None if chance == 1 else (agreement - chance) / (1 - chance)


def _root(function: Callable[[float], float]) -> float:
    return float(optimize.brentq(function, 0.0, 1.0, xtol=1e-12))
