"""Counts in sentences."""

from rlopt.wording import counted


def test_one_is_one_and_others_are_many() -> None:
    assert [counted(n, "item") for n in (0, 1, 2, 1234)] == ["0 items", "1 item", "2 items", "1,234 items"]
    assert [counted(n, "row is", "rows are") for n in (1, 3)] == ["1 row is", "3 rows are"]
    assert counted(1.0, "impression") == "1 impression"
