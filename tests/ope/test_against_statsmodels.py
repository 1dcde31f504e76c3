"""The comparisons of A/B tests against statsmodels' figures (``reference/statsmodels_abtest.json`` says how)."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rlopt.ope.comparison import Counts, cluster_sums
from rlopt.ope.serial import two_way
from rlopt.ope.stratified import LogRatio, adjusted, mantel_haenszel

REFERENCE = json.loads((Path(__file__).parent / "reference" / "statsmodels_abtest.json").read_text())


@pytest.mark.parametrize("row", REFERENCE["mantel_haenszel"], ids=("0", "1"))
def test_mantel_haenszel(row: dict[str, list[list[float]]]) -> None:
    shown, events = np.array(row["impressions"], dtype=float), np.array(row["events"], dtype=float)
    stratum = np.repeat(np.arange(len(shown)), 2)
    treated = np.tile([False, True], len(shown))
    found = mantel_haenszel(treated, stratum, shown.ravel(), events.ravel())
    assert np.exp(found.value) == pytest.approx(row["risk_ratio"], rel=1e-6)


@pytest.mark.parametrize("row", REFERENCE["two_way"], ids=("0", "1"))
def test_two_way_log_linear_model_and_its_clustered_error(row: dict[str, list[float]]) -> None:
    item, day = np.array(row["item"]), np.array(row["day"])
    counts = Counts(
        np.array(row["treated"], dtype=bool), item, np.array(row["impressions"], dtype=float),
        np.array(row["events"], dtype=float), day,
    )  # fmt: skip
    found = two_way(counts.treated, item, day, counts.impressions, counts.events)
    assert found.value == pytest.approx(row["log_ratio"], abs=1e-6)
    sums = cluster_sums(found.influence, item)
    assert np.sqrt(sums @ sums) == pytest.approx(row["item_std_error"], rel=1e-6)


@pytest.mark.parametrize("row", REFERENCE["regression_adjustment"], ids=("0", "1"))
def test_regression_adjustment(row: dict[str, list[float]]) -> None:
    now, then = (LogRatio(value, np.array(row[name])) for value, name in ((0.3, "now"), (0.1, "then")))
    found = adjusted(now, [then], np.arange(len(row["now"])))
    removed = 1 - (found.influence @ found.influence) / (now.influence @ now.influence)
    assert found.value == pytest.approx(0.3 - row["theta"] * 0.1, abs=1e-6)
    assert removed == pytest.approx(row["removed"], abs=1e-6)


def test_false_discovery_control() -> None:
    for row in REFERENCE["holm"]:
        assert stats.false_discovery_control(row["p_values"]) == pytest.approx(row["bh"], abs=1e-6)
