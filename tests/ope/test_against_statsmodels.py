"""Power, comparisons, adjustment and multiplicity of A/B tests against statsmodels, to 1e-6."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import GLM, OLS, families
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import power_proportions_2indep, samplesize_proportions_2indep_onetail

from reward.arrays import FloatArray, IntArray
from rlopt.ope.comparison import Counts, cluster_sums, compare
from rlopt.ope.power import TestDesign
from rlopt.ope.serial import two_way
from rlopt.ope.simultaneous import holm
from rlopt.ope.stratified import LogRatio, adjusted, mantel_haenszel


@pytest.mark.parametrize("base", [0.015, 0.2])
@pytest.mark.parametrize("lift", [0.03, -0.1])
@pytest.mark.parametrize("ratio", [1.0, 4.0])
@pytest.mark.parametrize("alternative", ["two-sided", "larger"])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_power_and_size(base: float, lift: float, ratio: float, alternative: str, alpha: float) -> None:
    """Group 1 is the treatment."""
    design = TestDesign(base, 1 / (1 + ratio), alpha, two_sided=alternative == "two-sided")
    settings = {"ratio": ratio, "alpha": alpha, "alternative": alternative}
    power = power_proportions_2indep(base * lift, base, 40_000, return_results=False, **settings)
    assert design.power(lift, 40_000 * (1 + ratio)) == pytest.approx(power, abs=1e-6)
    if lift < 0 and alternative == "larger":
        with pytest.raises(ValueError, match=r"No test finds a lift of -10\.0%"):
            design.impressions(lift)
        return
    direction = "two-sided" if alternative == "two-sided" else "larger"
    treated = samplesize_proportions_2indep_onetail(
        base * lift, base, 0.8, ratio=ratio, alpha=alpha, alternative=direction
    )
    assert design.impressions(lift) == pytest.approx(treated * (1 + ratio), rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_mantel_haenszel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown = rng.integers(200, 4000, (30, 2))
    events = rng.binomial(shown, rng.uniform(0.01, 0.2, (30, 1)))
    found = mantel_haenszel(
        np.tile([False, True], 30),
        np.repeat(np.arange(30), 2),
        shown.ravel().astype(float),
        events.ravel().astype(float),
    )
    tables = [[[k[1], n[1] - k[1]], [k[0], n[0] - k[0]]] for n, k in zip(shown, events, strict=True)]
    assert np.exp(found.value) == pytest.approx(
        StratifiedTable(np.array(tables).transpose(1, 2, 0)).riskratio_pooled, rel=1e-6
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_two_way_log_linear_model_and_its_clustered_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    item, day = (x.ravel() for x in np.indices((12, 10)))
    treated = np.stack([rng.permutation(10) < 5 for _ in range(12)]).ravel()
    shown = rng.poisson(500, 120).astype(float)
    rate = 0.05 * np.exp(rng.normal(0, 0.4, 12)[item] + rng.normal(0, 0.2, 10)[day] + 0.1 * treated)
    events = rng.poisson(shown * rate).astype(float)
    found = two_way(treated, item, day, shown, events)
    design = np.column_stack([_dummies(item), _dummies(day)[:, 1:], treated])
    theirs = GLM(events, design, family=families.Poisson(), offset=np.log(shown)).fit(
        tol=1e-12, maxiter=200, cov_type="cluster", cov_kwds={"groups": item, "use_correction": False}
    )
    assert found.value == pytest.approx(theirs.params[-1], abs=1e-6)
    sums = cluster_sums(found.influence, item)
    assert np.sqrt(sums @ sums) == pytest.approx(theirs.bse[-1], rel=1e-6)


@pytest.mark.parametrize("covariates", [1, 2])
def test_regression_adjustment(covariates: int) -> None:
    """theta is the regression's slope through clusters, of one covariate and of several together."""
    rng = np.random.default_rng(covariates)
    then = rng.normal(0, 1, (200, covariates))
    now = then @ rng.normal(0, 1, covariates) + rng.normal(0, 1, 200)
    values = rng.normal(0, 0.1, covariates)
    before = [LogRatio(float(v), column) for v, column in zip(values, then.T, strict=True)]
    found = adjusted(LogRatio(0.3, now), before, np.arange(200))
    theirs = OLS(now, then).fit()
    assert found.value == pytest.approx(0.3 - values @ theirs.params, abs=1e-6)
    assert found.influence == pytest.approx(theirs.resid, abs=1e-6)


def test_pairs_of_items_have_the_error_of_their_differences() -> None:
    """Items of equal traffic, shared between the arms in pairs: the error is that of the mean of paired differences,
    by the delta method of a log ratio."""
    rng = np.random.default_rng(3)
    pairs, shown = 150, 1000.0
    rate = np.repeat(np.exp(rng.normal(-3, 0.5, pairs)), 2)
    treated = np.concatenate([rng.permutation([True, False]) for _ in range(pairs)])
    clicks = rng.binomial(int(shown), rate).astype(float)
    block = np.repeat(np.arange(pairs), 2)
    counts = Counts(treated, np.arange(2 * pairs), np.full(2 * pairs, shown), clicks, block=block)
    found = compare(counts, "items")
    new, old = clicks[treated], clicks[~treated]
    theirs = OLS(new / new.mean() - old / old.mean(), np.ones(pairs)).fit()
    assert found.clusters == pairs
    assert found.ratio.value == pytest.approx(np.log(new.sum() / old.sum()), abs=1e-9)
    assert found.std_error == pytest.approx(theirs.bse[0], rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_multiplicity(seed: int) -> None:
    p_values: FloatArray = np.random.default_rng(seed).uniform(0, 0.2, 12)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-6)
    theirs = multipletests(p_values, method="fdr_bh")[1]
    assert stats.false_discovery_control(p_values) == pytest.approx(theirs, abs=1e-6)


def _dummies(group: IntArray) -> FloatArray:
    return np.asarray(group[:, None] == np.unique(group), dtype=np.float64)
