"""Numbers in any spelling are read as what they are, or asked about; never off by a factor of a thousand."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from reward.errors import LogError
from reward.logs.source import open_source
from reward.logs.typed_rows import TypedRows

from ..log_fixtures import read_csv_text, write_log


def read(path: Path, columns: dict[str, list[str]], name: str, decimal: str | None = None) -> list[float | None]:
    write_log(path, columns)
    with open_source(path, threads=1) as opened:
        rows = TypedRows.of(opened, None, None, (name,), (name,), decimal=decimal)  # type: ignore[arg-type]
        select = rows.select(name, extra={"r": "file_row_number"})
        return opened.table(f"SELECT {name} FROM {select} ORDER BY r", rows.parameters)[name].to_pylist()


def spelt(number: float, places: int, mark: str, group: str) -> str:
    text = f"{number:,.{places}f}"
    return text.translate({ord(","): group, ord("."): mark})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(0, 5_000_000) | st.integers(0, 900) | st.just(1000), min_size=1, max_size=30),
    mark=st.sampled_from([".", ","]),
    group=st.sampled_from(["", ".", ",", " ", "\u00a0", "'", "\u202f"]),
    places=st.integers(0, 4),
    name=st.sampled_from(["impressions", "revenue"]),
    beside=st.booleans(),
)
def test_any_spelling_is_read_or_asked_about(
    tmp_path: Path, counts: list[int], mark: str, group: str, places: int, name: str, beside: bool
) -> None:
    assume(group != mark)
    texts = [spelt(n, places, mark, group) for n in counts]
    columns = {name: texts}
    if beside:
        columns["price"] = [spelt(n / 4, 2, mark, group) for n in range(1, len(texts) + 1)]
    try:
        found = read(tmp_path / "log.parquet", columns, name)
    except LogError as error:
        assert "--decimal" in str(error)  # noqa: PT017
        assert not beside
        found = read(tmp_path / "log.parquet", columns, name, mark)
    assert found == counts


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["800", "1.000", "2.500.000"], [800, 1000, 2500000]),
        (["1.916", "2.160", "1.898", "90"], [1916, 2160, 1898, 90]),
        (["12,34,567", "5"], [1234567, 5]),
        (["1 916", "800"], [1916, 800]),
        (["1.000", "800.5"], [1, 800.5]),
    ],
)
def test_the_column_tells(tmp_path: Path, texts: list[str], numbers: list[float]) -> None:
    assert read(tmp_path / "log.parquet", {"impressions": texts}, "impressions") == numbers


@pytest.mark.parametrize("texts", [["1.000", "800"], ["1,000", "2,000"], ["1.234", "1234"]])
def test_where_nothing_tells_the_user_is_asked(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(LogError, match="Nothing in the file tells"):
        read(tmp_path / "log.parquet", {"impressions": texts}, "impressions")


def test_a_value_in_another_spelling_is_named_with_its_row(tmp_path: Path) -> None:
    text = "item_id;title;impressions;clicks\n1;a;1.234.567;5\n1;b;12,5;5\n"
    with pytest.raises(LogError, match=r"impressions must be a whole number .* Got '12,5' in row 2"):
        read_csv_text(tmp_path, text)


@pytest.mark.parametrize("text", ["1.56E+06", "1,56E+06"])
def test_counts_that_a_spreadsheet_has_rounded_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LogError, match=r"E\+06', a rounded number.*Export it with all digits"):
        read(tmp_path / "log.parquet", {"impressions": [text, "2345678"]}, "impressions")
    assert read(tmp_path / "log.parquet", {"impressions": ["1.5e+06", "12.0"]}, "impressions") == [1_500_000, 12]
