"""Every spelling of a time gives the same instant, or is refused with what was seen."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.errors import LogError
from reward.logs.source import open_source
from reward.logs.typed_rows import TypedRows

from .random_spellings import EXAMPLES, PROPERTY

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
PATTERNS = {  # and what of the time they keep
    "%Y%m%d%H%M%S": "s", "%Y%m%d%H%M": "min", "%Y%m%d%H": "h", "%Y%m%d": "D", "%y%m%d%H": "h", "%y%m%d%H%M": "min",
    "%y%m%d": "D", "%Y-%m-%d %H:%M:%S": "s", "%Y-%m-%dT%H:%M:%SZ": "s", "%Y-%m-%d": "D", "%Y/%m/%d %H:%M": "min",
    "%d.%m.%Y %H:%M": "min", "%d.%m.%Y": "D", "%Y-%m-%d %H": "h",
}  # fmt: skip


def seconds_of(path: Path, table: pa.Table) -> list[float]:
    """Seconds since 1970 that the log's timestamps are read as."""
    pq.write_table(table, path)
    with open_source(path, threads=1) as opened:
        rows = TypedRows.of(opened, None, None, ("timestamp",), ("timestamp",))
        select = rows.select("timestamp", extra={"r": "file_row_number"})
        table = opened.table(f"SELECT timestamp FROM {select} ORDER BY r", rows.parameters)
    return table["timestamp"].to_pylist()


TIMES = st.lists(
    st.datetimes(datetime(2013, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)).map(
        lambda t: t.replace(microsecond=0)
    ),
    min_size=30,
    max_size=40,
)


@settings(PROPERTY, max_examples=max(EXAMPLES, 150))
@given(times=TIMES, data=st.data())
def test_any_spelling_is_read_as_the_same_instants(tmp_path: Path, times: list[datetime], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["pattern", "epoch", "serial", "arrow"]))
    expected = pd.Series(times)
    if kind == "pattern":
        pattern = data.draw(st.sampled_from(sorted(PATTERNS)))
        expected = expected.dt.floor(PATTERNS[pattern])
        texts = [t.strftime(pattern) for t in times]
        numbers = data.draw(st.booleans()) and all(text.isdigit() for text in texts)
        values = pa.array([int(text) for text in texts] if numbers else texts)
    elif kind == "epoch":
        unit = UNITS[data.draw(st.sampled_from(sorted(UNITS)))]
        counts = [int(t.timestamp()) * unit for t in times]
        kinds = [pa.int64(), pa.string()] + ([pa.float64()] if unit < 10**9 else [])
        wanted = data.draw(st.sampled_from(kinds))
        values = pa.array([str(n) for n in counts] if wanted == pa.string() else counts).cast(wanted)
    elif kind == "serial":
        days = [(t - EPOCH) / timedelta(days=1) + 25_569 for t in times]
        values = pa.array([repr(day) for day in days] if data.draw(st.booleans()) else days)
    else:
        unit_name = data.draw(st.sampled_from(sorted(UNITS)))
        zone = data.draw(st.sampled_from([None, "UTC", "Europe/Berlin"]))
        values = pa.array(times, pa.timestamp(unit_name, "UTC"))
        values = values.cast(pa.timestamp(unit_name, zone)) if zone else values.cast(pa.timestamp(unit_name))
    found = seconds_of(tmp_path / "log.parquet", pa.table({"timestamp": values}))
    assert found == pytest.approx([t.timestamp() for t in expected], abs=1e-3)


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([26030, 260301, 2603010000], "numbers from 26030 to 2603010000"),
        ([2026, 2026], "2026"),
        (["03/04/2026", "05/06/2026"], "day and month cannot be told apart"),
        ([150326, 180326], r"YYMMDD over 1,096 days, or DDMMYY over 3\?"),
        ([100126, 101226], r"YYMMDD over 334 days, or MMDDYY over 11\?"),
        ([15032023, 27032023], r"YYMMDDHH over .* days, or DDMMYYYY over 12\?"),
        ([1503202314, 1603202309], r"YYMMDDHHMM over .* days, or DDMMYYYYHH over 1\?"),
        (["150326143000", "170326090000"], r"YYMMDDHHMMSS over .* days, or DDMMYYHHMMSS over 2\?"),
        ([20512, 20513], "numbers from 20512 to 20513"),
        ([19000101, 21001231], "numbers from 19000101"),
        ([1_700_000_000, 1_700_000_001_000], "numbers from 1700000000"),
        (["1.77232E+12", "1.77241E+12"], r"1\.77232E\+12, a rounded number"),
        (["1.772323e+09", "1772323207"], r"1\.772323e\+09, a rounded number"),
    ],
)
def test_what_is_no_time_is_refused_with_what_was_seen(tmp_path: Path, values: list[object], seen: str) -> None:
    with pytest.raises(LogError, match=seen):
        seconds_of(tmp_path / "log.parquet", pa.table({"timestamp": values}))


def test_exponents_of_whole_minutes_lose_nothing(tmp_path: Path) -> None:
    times = [datetime(2026, 3, 1, hour, tzinfo=UTC).timestamp() for hour in range(24)]
    texts = [repr(t * 1e9) for t in times]
    assert texts[0] == "1.7723232e+18"
    assert seconds_of(tmp_path / "log.parquet", pa.table({"timestamp": texts})) == times


def test_months_first_where_a_day_past_the_twelfth_tells(tmp_path: Path) -> None:
    found = seconds_of(tmp_path / "log.parquet", pa.table({"timestamp": ["03/01/2026", "03/31/2026"]}))
    assert found == [datetime(2026, 3, day, tzinfo=UTC).timestamp() for day in (1, 31)]


def test_times_in_short_floats_are_refused(tmp_path: Path) -> None:
    for times in ([1_772_323_200.0], [20_260_301.0]):
        pq.write_table(pa.table({"timestamp": pa.array(times, pa.float32())}), tmp_path / "t.parquet")
        with (
            open_source(tmp_path / "t.parquet") as opened,
            pytest.raises(LogError, match="as a 32-bit float, which keeps 7 digits"),
        ):
            TypedRows.of(opened, None, None, ("timestamp",))
