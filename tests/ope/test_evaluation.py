"""OffPolicyEvaluation: the table, and lifts paired by item."""

from dataclasses import replace

import numpy as np
import pytest

from rlopt.ope.estimators import ESTIMATORS, LoggedRounds
from rlopt.ope.evaluation import OffPolicyEvaluation


def rounds(seed: int = 0, n_items: int = 200, factor: float = 1.0) -> LoggedRounds:
    """Two titles per item, shown evenly; title 1 earns ``factor`` times title 0. The policy always picks title 1."""
    rng = np.random.default_rng(seed)
    appeal = rng.gamma(0.5, 0.1, n_items)  # items differ by orders of magnitude: what pairing must remove
    clicks = rng.binomial(2000, np.clip(appeal[:, None] * [1.0, factor], 0, 1))
    return LoggedRounds(
        reward=(clicks / 2000).ravel(),
        weight=np.tile([0.0, 2.0], n_items),
        cluster=np.repeat(np.arange(n_items), 2),
        count=np.full(2 * n_items, 2000.0),
    )


def test_every_possible_estimator_by_default() -> None:
    alone = {key for key, made in ESTIMATORS.items() if not (made.needs_q or made.needs_marginal)}
    assert {"ips", "ips_clip", "snips", "sg_ips"} <= alone
    assert set(OffPolicyEvaluation(rounds()).estimates) == alone
    with_model = LoggedRounds(reward=[0.1, 0.2], weight=[1.0, 1.0], q_logged=[0.1, 0.1], q_policy=[0.2, 0.2])
    assert set(OffPolicyEvaluation(with_model).estimates) == set(ESTIMATORS) - {"mips"}
    embedded = replace(with_model, marginal_weight=np.ones(2))
    assert [row["estimator"] for row in OffPolicyEvaluation(embedded).table()] == list(ESTIMATORS)
    assert "switch_dr" in str(OffPolicyEvaluation(with_model))


def test_an_interval_covers_or_is_marked_as_biased() -> None:
    """Five titles, of which the policy prefers the one that the logs hardly showed; the model knows no difference."""
    logging, policy = np.array([0.6, 0.2, 0.12, 0.07, 0.01]), np.array([0.05, 0.1, 0.15, 0.2, 0.5])
    rate, n = np.array([0.03, 0.035, 0.04, 0.045, 0.06]), 20_000
    truth, hits, marked = float(policy @ rate), dict.fromkeys(ESTIMATORS, 0), set()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        title = rng.choice(5, n, p=logging)
        weight, q = (policy / logging)[title], np.full(n, 0.04)
        reward = (rng.random(n) < rate[title]).astype(float)
        seen = LoggedRounds(
            reward, weight, q, q, cluster=np.arange(n) // 4, marginal_weight=np.where(title > 2, 8.75, 0.33)
        )
        for row in OffPolicyEvaluation(seen).table():
            hits[row["estimator"]] += row["low"] <= truth <= row["high"]
            marked |= {row["estimator"]} if row["biased"] else set()
    assert marked == {key for key, made in ESTIMATORS.items() if made.biased}
    assert all(hits[key] >= 90 for key in hits.keys() - marked), hits
    assert max(hits[key] for key in marked - {"mips"}) < 90  # no mark where it covers
    text = str(OffPolicyEvaluation(seen)).splitlines()
    assert {line.split()[0] for line in text[1:-1] if line.endswith("biased")} == marked
    assert text[-1].startswith("biased: the interval leaves out")
    tuned = OffPolicyEvaluation(seen, tune=True)
    assert {key for key, estimate in tuned.estimates.items() if estimate.biased} == {"dm", "mips"}


def test_own_parameters_and_unknown_names() -> None:
    chosen = OffPolicyEvaluation(rounds(), [ESTIMATORS["ips_clip"](max_weight=1.0)])
    assert chosen.estimates["ips_clip"].max_weight == 1.0
    with pytest.raises(ValueError, match=r"no estimator .ipw.\. Choose from: ips"):
        OffPolicyEvaluation(rounds(), ["ipw"])
    with pytest.raises(ValueError, match="q_logged is missing"):
        OffPolicyEvaluation(rounds(), ["dr"]).table()


def test_lift_is_paired_by_item() -> None:
    evaluation = OffPolicyEvaluation(rounds(factor=1.2), ["ips"])
    value, low, high = evaluation.lift("ips")
    true_lift = 1.2 / 1.1 - 1  # the logs hold both titles
    assert low < true_lift < high
    estimate, base = evaluation.estimates["ips"], evaluation.logged_value
    unpaired = np.hypot(estimate.std_error / estimate.value, base.std_error / base.value)
    assert (high - low) / (2 * 1.96) < 0.2 * unpaired
    assert value == pytest.approx(estimate.value / base.value - 1)


def test_lift_covers_the_truth() -> None:
    hits = 0
    for seed in range(200):
        _, low, high = OffPolicyEvaluation(rounds(seed, n_items=60, factor=1.2), ["ips"]).lift("ips")
        hits += low <= 1.2 / 1.1 - 1 <= high
    assert 0.9 <= hits / 200 <= 0.99


def test_lift_over_nothing_is_refused() -> None:
    empty = LoggedRounds(reward=[0.0, 0.0], weight=[1.0, 1.0])
    with pytest.raises(ValueError, match="relative lift needs positive values"):
        OffPolicyEvaluation(empty, ["ips"]).lift("ips")
    with pytest.raises(ValueError, match=r"no estimator 'dr' of these rounds. Use one of: ips, snips\."):
        OffPolicyEvaluation(rounds(), ["ips", "snips"]).lift("dr")
