"""Numbers as people write them: read right, or not at all."""

import numpy as np
import pytest

from rlopt.ope.quantities import numbers_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("19.9", 19.9), ("-3", -3.0), ("1e3", 1000.0), ("$19.99", 19.99), ("19,99 €", 19.99), ("1,299", 1299.0),
        ("1,299.00 USD", 1299.0), ("1.299,00 €", 1299.0), ("1.234.567 kg", 1234567.0), ("3.125 kg", 3.125),
        ("0,500 kg", 0.5), ("1,500 kg", 1500.0),
        ("12\u00a0000 Kč", 12000.0), ("CHF 1'299.50", 1299.5), ("-5 °C", -5.0), ("５元", 5.0),
        ("0,5 l", 0.5), ("12,3456", 12.3456),
    ],
)  # fmt: skip
def test_a_number_is_read_as_it_is_meant(text: str, number: float) -> None:
    numbers, _ = numbers_of([text])
    assert numbers.tolist() == [number]


@pytest.mark.parametrize("text", ["", "red", "10-20", "2024-03-01", "A-12", "iPhone 12 128GB", "nan", "inf", None])
def test_what_is_no_number_is_none(text: str | None) -> None:
    assert np.isnan(numbers_of([text])[0]).all()


def test_numbers_of_other_units_are_not_compared() -> None:
    numbers, unit = numbers_of(["2 kg", "500 g", "3 kg", "4", "1.5 KG"])
    np.testing.assert_array_equal(numbers, [2, np.nan, 3, np.nan, 1.5])
    assert unit == "kg"
    numbers, unit = numbers_of(["$2", "3", "4", "5 €", "$6"])  # a bare price beside one with its sign
    np.testing.assert_array_equal(numbers, [2, 3, 4, np.nan, 6])
    assert unit == "$"
    assert numbers_of(["9.50 EUR", "8 EUR", "7 eur"])[1] == "EUR"
    assert numbers_of([])[0].shape == (0,)
