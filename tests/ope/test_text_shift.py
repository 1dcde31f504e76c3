"""Divergence of texts whose distributions are known."""

import numpy as np
import pytest

from rlopt.ope.text_shift import text_shift


def titles(rng: np.random.Generator, n: int, probability: list[float]) -> list[str]:
    """One telling word among words that tell nothing."""
    telling, filler = ["red", "blue", "纯", "棉"], ["shirt", "shoe", "bag"]
    picks = rng.choice(4, n, p=probability)
    return [f"{telling[k]} {filler[rng.integers(3)]}" for k in picks]


@pytest.mark.parametrize(
    ("new", "logged"),
    [
        ([0.7, 0.1, 0.1, 0.1], [0.25] * 4),
        ([0.94, 0.02, 0.02, 0.02], [0.04, 0.32, 0.32, 0.32]),
        ([0.25] * 4, [0.25] * 4),
    ],
)
def test_finds_the_known_divergence(new: list[float], logged: list[float]) -> None:
    rng = np.random.default_rng(0)
    n = 3000
    item = np.repeat(np.arange(n // 4), 4)
    truth = float(np.sum(np.array(new) * np.log(np.array(new) / np.array(logged))))
    shift = text_shift(titles(rng, n, new), item, titles(rng, n, logged), item)
    assert shift is not None
    assert shift.kl == pytest.approx(truth, abs=0.05 * truth + 4 * shift.std_error + 0.01)
    assert (shift.accuracy > 0.55) == (truth > 0.1)


def test_the_share_of_logged_titles_counts() -> None:
    rng = np.random.default_rng(1)
    item = np.repeat(np.arange(600), 2)
    logged = [word for _ in range(600) for word in ("red shirt", "blue shirt")]
    new = [f"{rng.choice(['red', 'blue'])} shirt" for _ in range(1200)]
    even, uneven = (text_shift(new, item, logged, item, np.tile([share, 1 - share], 600)) for share in (0.5, 0.9))
    assert even is not None
    assert uneven is not None
    truth = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert uneven.kl == pytest.approx(truth, abs=0.1)
    assert even.kl < 0.05


def test_few_items_say_nothing() -> None:
    assert text_shift(["a"] * 9, np.arange(9), ["b"] * 9, np.arange(9)) is None


def test_titles_without_words() -> None:
    shift = text_shift(["!!!"] * 20, np.arange(20), [""] * 20, np.arange(20))
    assert shift is not None
    assert shift.kl == pytest.approx(0.0, abs=1e-6)
