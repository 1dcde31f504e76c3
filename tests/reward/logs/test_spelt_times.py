"""Times in words give the instant that Python's own datetime has; what two readings share is refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.errors import LogError
from reward.logs.read import read_logs
from reward.logs.source import open_source
from reward.logs.typed_rows import TypedRows

TIMES = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=31 * k, minutes=7 * k) for k in range(20)]
CHINA, INDIA = timedelta(hours=8), timedelta(hours=5, minutes=30)
MONTHS = {"de": "März April", "fr": "mars avril", "es": "marzo abril", "pt": "março abril", "ru": "марта апреля"}
SPELLINGS: dict[str, tuple[str, Callable[[datetime], str]]] = {
    "mail": ("s", lambda t: f"{t:%a, %d %b %Y %H:%M:%S} GMT"),
    "mail in China": ("s", lambda t: f"{t + CHINA:%a, %d %b %Y %H:%M:%S} +0800"),
    "web server": ("s", lambda t: f"[{t:%d/%b/%Y:%H:%M:%S} +0000]"),
    "browser": ("s", lambda t: f"{t + CHINA:%a %b %d %Y %H:%M:%S} GMT+0800 (China Standard Time)"),
    "shell": ("s", lambda t: f"{t:%a %b %d %H:%M:%S} UTC {t:%Y}"),
    "java": ("s", lambda t: f"{t + INDIA:%Y-%m-%dT%H:%M:%S}+05:30[Asia/Kolkata]"),
    "ruby": ("s", lambda t: f"{t + CHINA:%Y-%m-%d %H:%M:%S} +0800"),
    "basic": ("s", lambda t: f"{t:%Y%m%dT%H%M%SZ}"),
    "comma": ("s", lambda t: f"{t:%Y-%m-%d %H:%M:%S},250"),
    "oracle": ("s", lambda t: f"{t:%d-%b-%y %I.%M.%S}.000000 {t:%p}".upper()),
    "american": ("s", lambda t: f"{t.month}/{t.day}/{t.year}, {t:%I:%M:%S} {t:%p}"),
    "american, short": ("min", lambda t: f"{t:%m/%d/%y %H:%M}"),
    "german": ("min", lambda t: f"{t:%d.%m.%Y %H:%M} Uhr"),
    "german, short": ("D", lambda t: f"{t:%d.%m.%y}"),
    "year first, short": ("D", lambda t: f"{t:%y.%m.%d}"),
    "english": ("D", lambda t: f"{t:%A, %B %d, %Y}"),
    "english, ordinal": ("D", lambda t: f"{t.day}{'st' if t.day == 1 else 'th'} {t:%B %Y}"),
    "day-month-year": ("D", lambda t: f"{t:%d-%b-%Y}"),
    "month": ("M", lambda t: f"{t:%B %Y}"),
    "german, month": ("D", lambda t: f"{t.day}. {MONTHS['de'].split()[t.month - 3]} {t.year}"),
    "french": ("D", lambda t: f"{t.day} {MONTHS['fr'].split()[t.month - 3]} {t.year}"),
    "spanish": ("D", lambda t: f"{t.day} de {MONTHS['es'].split()[t.month - 3]} de {t.year}"),
    "portuguese": ("D", lambda t: f"{t.day} {MONTHS['pt'].split()[t.month - 3]} {t.year}"),
    "russian": ("D", lambda t: f"{t.day} {MONTHS['ru'].split()[t.month - 3]} {t.year}"),
    "japanese": ("D", lambda t: f"{t.year}年{t.month}月{t.day}日({'月火水木金土日'[t.weekday()]})"),
    "japanese, time": ("min", lambda t: f"{t.year}年{t.month}月{t.day}日 {t.hour}時{t.minute:02d}分"),
    "chinese": ("s", lambda t: f"{t.year}/{t.month}/{t.day} {'上午' if t.hour < 12 else '下午'}{t:%I:%M:%S}"),
    "korean": ("D", lambda t: f"{t.year}. {t.month}. {t.day}."),
    "korean, words": ("D", lambda t: f"{t.year}년 {t.month}월 {t.day}일"),
    "wide": ("D", lambda t: f"{t:%Y/%m/%d}".translate({48 + n: 0xFF10 + n for n in range(10)})),
}


def seconds(times: list[str], folder: Path) -> list[float]:
    path = folder / "times.parquet"
    pd.DataFrame({"timestamp": times}).to_parquet(path)
    with open_source(path) as opened:
        rows = TypedRows.of(opened, None, None, ("timestamp",))
        found = opened.query(f"SELECT s FROM {rows.select(extra={'s': rows.expression('timestamp')})}", rows.parameters)
        return [s for (s,) in found.fetchall()]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_time_in_words_is_its_instant(tmp_path: Path, name: str) -> None:
    kept, spelt = SPELLINGS[name]
    naive = pd.DatetimeIndex([time.replace(tzinfo=None) for time in TIMES])
    truth = naive.to_period("M").to_timestamp() if kept == "M" else naive.floor(kept)
    found = seconds([spelt(time) for time in TIMES], tmp_path)
    assert found == ((truth - pd.Timestamp(0)) / pd.Timedelta("1s")).tolist()


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["01.03.26"], r"'01\.03\.26': DD\.MM\.YY or YY\.MM\.DD\? Write ISO dates"),
        (["03/04/26", "05/06/26"], "day and month cannot be told apart"),
        (["2026-03-01 08:00:00 CST"], r"'2026-03-01 08:00:00 CST', whose letters are those of several time zones"),
        (["2026-07-01 08:00:00 BST"], "several time zones. Write the hours from UTC instead"),
    ],
)
def test_what_two_readings_share_is_refused(tmp_path: Path, times: list[str], said: str) -> None:
    with pytest.raises(LogError, match=said):
        seconds(times, tmp_path)


def test_periods_of_logs_with_times_in_words_are_those_of_iso_dates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (item, f"{kind} {item}", 900 + 7 * k + item, rng.poisson(40 + 9 * (kind == "Red")), time)
        for k, time in enumerate(TIMES)
        for item in range(12)
        for kind in ("Red", "Blue")
    ]
    log = pd.DataFrame(rows, columns=["item_id", "title", "impressions", "clicks", "timestamp"])
    arms = []
    for name, spelt in (("iso", datetime.isoformat), ("mail", SPELLINGS["mail in China"][1])):
        log.assign(timestamp=log["timestamp"].map(spelt)).to_csv(tmp_path / f"{name}.csv", index=False)
        arms.append(read_logs(tmp_path / f"{name}.csv", threads=1).arms)
    assert arms[0].exposure.tolist() == arms[1].exposure.tolist()
    assert (arms[0].last_seen == arms[1].last_seen).all()
