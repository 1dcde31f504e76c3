"""A/B tests with a known truth: error rates of both intervals, peeking, the sample ratio."""

import numpy as np
import pytest

from rlopt.ope.abtest import Counts, TestOutcome, analyze, whole_items_p_value
from rlopt.ope.power import TestDesign
from rlopt.ope.sequential import planned_information, sequence_reach

N_ITEMS = 40
APPEAL = np.random.default_rng(99).gamma(3.0, 0.03, N_ITEMS)


def run_test(
    rng: np.random.Generator, *, lift: float = 0.0, days: int = 1, per_day: int = 1500, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Cumulated impressions and clicks, each of shape (days, 2 arms, items)."""
    shown = np.stack(
        [rng.poisson(per_day * (1 - share), (days, N_ITEMS)), rng.poisson(per_day * share, (days, N_ITEMS))], 1
    )
    rate = APPEAL * np.array([1.0, 1.0 + lift])[:, None]
    return shown.cumsum(axis=0), rng.binomial(shown, rate).cumsum(axis=0)


def counts(shown: np.ndarray, clicks: np.ndarray) -> Counts:
    return Counts(
        np.repeat([False, True], N_ITEMS),
        np.tile(np.arange(N_ITEMS), 2),
        shown.ravel().astype(float),
        clicks.ravel().astype(float),
    )


def outcome(seed: int, *, lift: float = 0.0, final: bool = True, **options: float) -> TestOutcome:
    shown, clicks = run_test(np.random.default_rng(seed), lift=lift)
    return analyze(counts(shown[-1], clicks[-1]), planned_lift=0.05, final=final, **options)


def test_rates_by_hand() -> None:
    hand = Counts(
        np.array([False, True, False, True]), np.array([0, 0, 1, 1]),
        np.array([100.0, 100.0, 300.0, 300.0]), np.array([10.0, 15.0, 20.0, 24.0]),
    )  # fmt: skip
    found = analyze(hand, planned_lift=0.1)
    assert (found.rate_control, found.rate_treated) == (30 / 400, 39 / 400)
    assert found.lift == pytest.approx(0.3)
    # influences: item 0: (15 - 9.75) / 39 - (10 - 7.5) / 30; item 1 the opposite; variance 2 / 1 * sum u^2
    u = (15 - 9.75) / 39 - (10 - 7.5) / 30
    assert np.log(found.high + 1) - np.log(1.3) == pytest.approx(12.706205 * np.sqrt(2 * 2 * u**2), rel=1e-6)  # t, 1 df
    # the sequence takes the error for known: widened by the quotient of t and normal quantile at G_eff - 1 = 1
    reach = sequence_reach(np.sqrt(2 * 2 * u**2), planned_information(0.1)) * 12.706205 / 1.959964
    assert np.log(found.always_high + 1) - np.log(1.3) == pytest.approx(reach, rel=1e-5)


def test_error_rates_of_simulated_tests() -> None:
    null = [outcome(seed) for seed in range(400)]
    assert 0.02 <= np.mean([t.decision != "undecided" for t in null]) <= 0.08
    real = [outcome(seed, lift=0.05) for seed in range(400)]
    assert 0.92 <= np.mean([t.low <= 0.05 <= t.high for t in real]) <= 0.985
    assert np.mean([t.always_low <= 0.05 <= t.always_high for t in real]) >= 0.95
    effective = APPEAL.sum() ** 2 / (APPEAL**2).sum()
    planned = TestDesign(float(APPEAL.mean()), effective_items=effective).power(0.05, 2 * N_ITEMS * 750)
    assert np.mean([t.decision == "better" for t in real]) == pytest.approx(planned, abs=0.08)
    assert not [t for t in real if t.decision == "worse"]


def test_a_sequence_holds_under_peeking_and_the_usual_interval_does_not() -> None:
    """1,000 tests without effect, looked at on each of 30 days and stopped at the first crossing."""
    rng = np.random.default_rng(5)
    planned = planned_information(0.05)
    stopped, naive = 0, 0
    for _ in range(1000):
        shown, clicks = run_test(rng, days=30, per_day=200)
        rates = clicks.sum(axis=2) / shown.sum(axis=2)  # (days, arms)
        influence = (clicks - rates[..., None] * shown) / clicks.sum(axis=2)[..., None]
        scores = influence[:, 1] - influence[:, 0]  # as in `analyze`, all days at once
        std_error = np.sqrt(N_ITEMS / (N_ITEMS - 1) * (scores**2).sum(axis=1))
        log_ratio = np.abs(np.log(rates[:, 1] / rates[:, 0]))
        reach = np.array([sequence_reach(float(e), planned) for e in std_error])
        stopped += bool((log_ratio > reach).any())
        naive += bool((log_ratio > 1.96 * std_error).any())
    assert stopped / 1000 <= 0.05
    assert naive / 1000 > 0.15


@pytest.mark.parametrize("n_items", [3, 5, 10])
def test_few_items_stop_a_test_without_effect_no_more_often(n_items: int) -> None:
    """400 tests without effect whose items differ between arms by chance, looked at on each of 20 days."""
    rng = np.random.default_rng(n_items)
    treated, item = np.repeat([False, True], n_items), np.tile(np.arange(n_items), 2)
    stopped = 0
    for _ in range(400):
        rate = 0.05 * np.exp(rng.normal(scale=0.1, size=(2, n_items)))
        shown = np.full((20, 2, n_items), 500.0).cumsum(axis=0)
        clicks = rng.binomial(500, rate, (20, 2, n_items)).cumsum(axis=0).astype(float)
        looks = (
            analyze(Counts(treated, item, n.ravel(), k.ravel()), planned_lift=0.05)
            for n, k in zip(shown, clicks, strict=True)
        )
        stopped += any(look.decision in ("better", "worse") for look in looks)
    assert stopped / 400 <= 0.05


def test_the_sequence_is_the_boundary_of_its_paper() -> None:
    # at v = planned: sqrt((m + rho) log((m + rho) / (rho alpha^2))) / m, and no other rho is tighter there
    planned, std_error = 400.0, 0.05
    tightest = sequence_reach(std_error, planned)
    assert all(sequence_reach(std_error, planned * factor) >= tightest for factor in (0.2, 0.5, 0.9, 1.1, 2.0, 5.0))
    assert 1.96 * std_error < tightest < 3.2 * std_error
    assert sequence_reach(float("inf"), planned) == float("inf")
    assert planned_information(0.05) == pytest.approx((2.801585 / np.log(1.05)) ** 2, rel=1e-5)


def test_an_open_end_is_decided_by_the_sequence_a_planned_one_by_the_interval() -> None:
    both = [(outcome(s, lift=0.05, final=False), outcome(s, lift=0.05)) for s in range(100)]
    assert {t.decided_by for t, _ in both} == {"always-valid"}
    early, final = (np.mean([t.decision == "better" for t in side]) for side in zip(*both, strict=True))
    assert early < final


def test_sample_ratio() -> None:
    rng = np.random.default_rng(1)
    fair = [whole_items_p_value(counts(*(x[-1] for x in run_test(rng))), 0.5) for _ in range(300)]
    assert np.mean(np.array(fair) < 0.05) == pytest.approx(0.05, abs=0.04)
    shown, clicks = run_test(rng, share=0.47)
    broken = analyze(counts(shown[-1], clicks[-1]), planned_lift=0.05)
    assert broken.sample_ratio_p_value < 1e-6
    assert broken.decision == "invalid"
    assert analyze(counts(shown[-1], clicks[-1]), planned_lift=0.05, treated_share=0.47).decision != "invalid"


def test_items_assigned_whole_are_no_mismatch() -> None:
    size = np.random.default_rng(0).uniform(100, 10_000, 200)
    whole = Counts(np.arange(200) % 2 == 0, np.arange(200), size, np.round(0.1 * size) + 1)
    assert whole_items_p_value(whole, 0.5) > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impressions": np.array([0.0, 500, 0, 500])}, "The control has no impressions"),
        ({"events": np.array([20.0, 1, 20, 2])}, "The treatment has 3 clicks or conversions.*go on testing"),
        ({"item": np.zeros(4, dtype=np.int64)}, "at least two items"),
    ],
)
def test_results_that_say_nothing(change: dict[str, np.ndarray], message: str) -> None:
    good = {
        "treated": np.array([False, True, False, True]),
        "item": np.array([0, 0, 1, 1]),
        "impressions": np.full(4, 500.0),
        "events": np.array([20.0, 30.0, 10.0, 18.0]),
    }
    with pytest.raises(ValueError, match=message):
        analyze(Counts(**(good | change)), planned_lift=0.05)
