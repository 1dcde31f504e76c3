"""A frame in a random spelling reads back as the same numbers, or is refused in a line: 25 examples a kind.

RLOPT_HYPOTHESIS=500 tries more of them, and others each time.
"""

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume, event, given
from hypothesis import strategies as st

from reward.items import MISSING
from reward.logs.read import read_items

from .random_spellings import JSON_FORMS, PROPERTY, counted, found, frame, json_texts, truth

SEEDS = st.integers(0, 2**32 - 1)
DAY = 86_400


def whole(pattern: str) -> Callable[[pd.Timestamp], object]:
    return lambda time: int(time.strftime(pattern))


def text(pattern: str) -> Callable[[pd.Timestamp], object]:
    return lambda time: time.strftime(pattern)


def since_1970(factor: int) -> Callable[[pd.Timestamp], object]:
    return lambda time: int(time.value // 10**9 * factor)


TIMES: dict[str, tuple[Callable[[pd.Timestamp], object], float, bool]] = {
    "ISO": (text("%Y-%m-%d %H:%M:%S"), 1, True),
    "ISO, UTC": (text("%Y-%m-%dT%H:%M:%SZ"), 1, True),
    "ISO, a zone": (lambda time: (time + pd.Timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00"), 1, True),
    "ISO days": (text("%Y-%m-%d"), DAY, True),
    "YYYYMMDD": (whole("%Y%m%d"), DAY, True),
    "YYYYMMDDHH": (whole("%Y%m%d%H"), 3600, True),
    "YYYYMMDDHHMM": (whole("%Y%m%d%H%M"), 60, True),
    "YYYYMMDDHHMMSS": (whole("%Y%m%d%H%M%S"), 1, True),
    "YYMMDD": (whole("%y%m%d"), DAY, False),
    "YYMMDDHH": (whole("%y%m%d%H"), 3600, False),
    "seconds": (since_1970(1), 1, False),
    "milliseconds": (since_1970(1_000), 1, False),
    "microseconds": (since_1970(1_000_000), 1, False),
    "nanoseconds": (since_1970(1_000_000_000), 1, False),
    "spreadsheet": (lambda time: round(time.value / 10**9 / DAY + 25_569, 6), 1, False),
    "German": (text("%d.%m.%Y %H:%M"), 60, True),
    "day first": (text("%d/%m/%Y"), DAY, False),
    "month first": (text("%m/%d/%Y %H:%M:%S"), 1, False),
    "in words": (text("%b %d, %Y"), DAY, True),
    "Chinese": (text("%Y年%m月%d日"), DAY, True),
}


@PROPERTY
@given(SEEDS, st.sampled_from(sorted(TIMES)), st.sampled_from(["csv", "parquet"]), st.integers(1, 3_000))
def test_times(seed: int, name: str, ending: str, days: int) -> None:
    spell, size, certain = TIMES[name]
    rng = np.random.default_rng(seed)
    log = frame(seed)
    first = pd.Timestamp("2011-01-01") + pd.Timedelta(days=int(rng.integers(0, 5_000)))
    seconds = rng.integers(0, days * DAY, len(log))
    times = [min(first + pd.Timedelta(seconds=int(s)), pd.Timestamp("2026-06-30")) for s in seconds]
    # 201112 is December 2011 before it is 12 November 2020: four-digit years go first.
    assume(not name.startswith("YYMM") or all(time.year != 2020 for time in times))
    log["timestamp"] = [spell(time) for time in times]
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{ending}"
        log.to_csv(path, index=False) if ending == "csv" else log.to_parquet(path)
        logs = found(path)
    event(f"{name}: {'refused' if isinstance(logs, str) else 'read'}")
    if isinstance(logs, str):
        assert not certain, logs
        return
    wanted = [np.floor(time.value / 1e9 / size) * size for time in (min(times), max(times))]
    read = (logs.totals.first_timestamp, logs.totals.last_timestamp)
    np.testing.assert_allclose(read, wanted, rtol=0, atol=1 if name == "spreadsheet" else 1e-3)
    assert counted(logs) == truth(log)


KEYS: dict[str, tuple[Callable[[int], object], Callable[[int], str]]] = {
    "whole": (int, str),
    "floats": (float, str),
    "decimals": (lambda n: Decimal(n).quantize(Decimal("1.00")), str),
    "texts of floats": (lambda n: f"{n}.0", str),
    "padded": (lambda n: f"{n}   ", str),
    "leading zeros": (lambda n: f"{n:012d}", lambda n: f"{n:012d}"),
    "leading zeros, padded": (lambda n: f" {n:09d} ", lambda n: f"{n:09d}"),
    "with a letter": (lambda n: f"SKU-{n}.0", lambda n: f"SKU-{n}.0"),
}


@PROPERTY
@given(SEEDS, st.sampled_from(sorted(KEYS)), st.sampled_from(["csv", "parquet", "jsonl"]), st.integers(1, 17))
def test_keys(seed: int, name: str, ending: str, digits: int) -> None:
    spell, meant = KEYS[name]
    log = frame(seed)
    start = int(np.random.default_rng(seed).integers(1, 10**digits))
    number = log["item_id"].str[1:].astype(int) + start
    wanted = log.assign(item_id=[meant(n) for n in number])
    log["item_id"] = pd.Series([spell(n) for n in number], dtype=None if name in ("whole", "floats") else object)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{ending}"
        if ending == "csv":
            log.to_csv(path, index=False)
        elif ending == "parquet":
            log.to_parquet(path)
        else:
            log.astype({"item_id": str} if name == "decimals" else {}).to_json(path, orient="records", lines=True)
        logs = found(path)
    event(f"{name}: {'refused' if isinstance(logs, str) else 'read'}")
    if isinstance(logs, str):
        assert name == "floats" or digits > 12, logs
        return
    assert counted(logs) == truth(wanted)


MARKS = [("", "."), (",", "."), (".", ","), (" ", ","), ("\u00a0", ","), ("\u202f", ","), ("'", "."), ("", ",")]


@PROPERTY
@given(
    SEEDS,
    st.sampled_from(MARKS),
    st.sampled_from([";", "\t"]),
    st.booleans(),
    st.integers(3, 7),
)
def test_numbers(seed: int, marks: tuple[str, str], delimiter: str, with_money: bool, digits: int) -> None:
    group, decimal = marks
    log = frame(seed)
    rng = np.random.default_rng(seed)
    log["impressions"] = rng.choice(10**digits, len(log), replace=False) + 100
    log["clicks"] = rng.binomial(log["impressions"], 0.3)
    log["conversions"] = rng.binomial(log["clicks"], 0.1)
    log["revenue"] = (log["conversions"] * 7.25).round(2)

    def spelt(value: float, places: int) -> str:
        plain = f"{value:,.{places}f}"
        return plain.translate({ord(","): group, ord("."): decimal})

    written = log.assign(**{c: [spelt(v, 0) for v in log[c]] for c in ("impressions", "clicks", "conversions")})
    written["revenue"] = [spelt(v, 2) for v in log["revenue"]]
    if not with_money:
        written = written.drop(columns=["revenue"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        written.to_csv(path, index=False, sep=delimiter)
        logs = found(path)
        said = found(path, decimal=decimal)
    event(f"{marks}, money {with_money}: {'refused' if isinstance(logs, str) else 'read'}")
    assert not isinstance(said, str), said
    for read in (said, logs):
        if isinstance(read, str):
            continue
        assert counted(read) == truth(log)
        if with_money:
            assert read.arms.revenue is not None
            np.testing.assert_allclose(read.arms.revenue.sum(), log["revenue"].sum(), rtol=1e-9)


WORDS = st.text(
    st.one_of(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), st.sampled_from(" \"',;|\t\n")),
    min_size=1,
    max_size=30,
).filter(lambda title: bool(title.strip()))


@PROPERTY
@given(
    SEEDS,
    st.lists(WORDS, min_size=8, max_size=8, unique_by=lambda title: title.strip()),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.integers(0, 3),
)
def test_text_files(
    seed: int, titles: list[str], delimiter: str, end: str, quoting: int, encoding: str, before: int
) -> None:
    log = frame(seed)
    arms = {title: i for i, title in enumerate(sorted(set(log["title"])))}
    log["title"] = [titles[arms[title]] for title in log["title"]]
    out = io.StringIO()
    out.write("".join(f"Report line {i}{end}" for i in range(before)))
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[call-overload]
    writer.writerow(log.columns)
    writer.writerows(log.itertuples(index=False))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_bytes(out.getvalue().encode(encoding))
        logs = found(path)
    event("refused" if isinstance(logs, str) else "read")
    if isinstance(logs, str):
        return

    def ends_alike(title: str) -> str:  # mixed line ends inside of cells are made alike
        return title.replace("\r\n", "\n").replace("\r", "\n").strip()

    wanted = truth(log.assign(title=[ends_alike(title) for title in log["title"]]))
    assert {(i, ends_alike(title)): counts for (i, title), counts in counted(logs).items()} == wanted


SENTENCES = {
    "cp1252": ("Schöne Stühle für große Räume", "Crème brûlée à l'ancienne", "Müsli größer als früher", "Señor Núñez"),
    "gb18030": ("红色跑鞋新款透气", "真皮钱包男士商务", "纯棉被套四件套", "不锈钢保温杯大容量"),
    "cp932": ("赤いランニングシューズ", "電気ケトル大容量", "木製のテーブル", "綿のシャツ"),
    "cp1251": ("Красные кроссовки для бега", "Деревянный стол", "Чайник из стали", "Хлопковая рубашка"),
    "big5": ("紅色跑鞋新款", "真皮錢包男士", "純棉被套組", "不鏽鋼保溫杯"),
}


@PROPERTY
@given(SEEDS, st.sampled_from(sorted(SENTENCES)), st.sampled_from([",", ";", "\t"]), st.sampled_from(["csv", "jsonl"]))
def test_encodings(seed: int, encoding: str, delimiter: str, ending: str) -> None:
    log = frame(seed)
    names = SENTENCES[encoding]
    log["title"] = [
        f"{names[int(title.rsplit(' ', 1)[1]) % len(names)]} {title.rsplit(' ', 1)[1]}" for title in log["title"]
    ]
    if ending == "csv":
        text = log.to_csv(index=False, sep=delimiter)
    else:
        text = log.to_json(orient="records", lines=True, force_ascii=False)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{ending}"
        path.write_bytes(text.encode(encoding))
        logs = found(path)
    event(f"{encoding}: {'refused' if isinstance(logs, str) else 'read'}")
    if isinstance(logs, str):
        assert "not UTF-8" in logs
        return
    assert any("is read as" in note for note in logs.notes)
    assert counted(logs) == truth(log)


@PROPERTY
@given(
    SEEDS,
    st.sampled_from(JSON_FORMS),
    st.booleans(),
    st.booleans(),
)
def test_json(seed: int, form: str, ascii_only: bool, nested: bool) -> None:
    log = frame(seed)
    rows = json.loads(log.to_json(orient="records"))
    for row in rows if nested else ():
        row["specs"] = {"brand": f"b{row['item_id']}", "sizes": [1, 2]}
    texts = json_texts(rows, ascii_only=ascii_only)
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("log.json" if seed % 2 else "log.jsonl")
        path.write_text(texts[form], encoding="utf-8")
        logs = found(path)
    assert not isinstance(logs, str), logs
    assert counted(logs) == truth(log)
    if nested:
        assert all(item.fields["brand"] == (f"b{item.item_id}",) for item in logs.arms.items)


@PROPERTY
@given(
    SEEDS,
    st.lists(st.sampled_from(sorted(MISSING)), min_size=1, max_size=5),
    st.sampled_from(["csv", "parquet", "jsonl"]),
)
def test_marks_of_missing_values(seed: int, marks: list[str], ending: str) -> None:
    rng = np.random.default_rng(seed)
    log = frame(seed)
    brands = dict(zip(sorted(set(log["item_id"])), ["Acme", "Norda", None, "NA"], strict=True))
    brand = log["item_id"].map(brands)
    marked = [
        rng.choice([m, m.upper(), m.title(), f" {m} "]) if b is None or rng.random() < 0.2 else b
        for b, m in zip(brand, rng.choice(marks, len(log)), strict=True)
    ]
    log["brand"] = marked
    wanted = {item: () if b is None else (b,) for item, b in brands.items()}
    sound = (
        log.assign(real=brand)
        .groupby("item_id")[["brand", "real"]]
        .apply(lambda rows: (rows["brand"] == rows["real"]).any())
    )
    assume(all(sound[item] for item, b in brands.items() if b is not None))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{ending}"
        if ending == "csv":
            log.to_csv(path, index=False)
        elif ending == "parquet":
            log.to_parquet(path)
        else:
            log.to_json(path, orient="records", lines=True)
        logs = found(path)
        assert not isinstance(logs, str), logs
        items = read_items(path)
    for given_items in (logs.arms.items, items):
        assert {item.item_id: item.fields.get("brand", ()) for item in given_items} == wanted


@PROPERTY
@given(SEEDS, st.sampled_from(["file", "rows", "total", "item total", "events", "none"]))
def test_copies(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    log = frame(seed, n_items=6)
    wanted = truth(log)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        if kind == "rows":
            log = pd.concat([log, log.sample(frac=rng.uniform(0.3, 1), random_state=seed % 2**32)])
        elif kind in ("total", "item total"):
            total = log[["impressions", "clicks"]].sum()
            name = "Total" if kind == "total" else "i0"
            log = pd.concat([log, pd.DataFrame([{"item_id": name, "title": "Total", **total}])])
        elif kind == "events":
            n = 400
            clicks = (rng.random(n) < 0.3).astype(int)
            arm = rng.integers(0, 8, n)
            log = pd.DataFrame(
                {"event_id": np.arange(n), "item_id": arm // 2, "title": [f"T {a}" for a in arm], "click": clicks}
            )
            once = log.groupby(["item_id", "title"])["click"].agg(["size", "sum"])
            wanted = {(str(i), t): (float(a), float(b)) for (i, t), (a, b) in zip(once.index, once.values, strict=True)}
            log = pd.concat([log, log.sample(frac=rng.uniform(0.02, 0.5), random_state=1)])
        log.to_csv(path, index=False)
        if kind == "file":
            (Path(folder) / "a (1).csv").write_bytes(path.read_bytes())
        logs = found(Path(folder))
    event(f"{kind}: {'refused' if isinstance(logs, str) else 'read'}")
    if isinstance(logs, str):
        assert kind != "none", logs
        return
    assert counted(logs) == wanted


UNITS = st.sampled_from(["s", "ms", "us", "ns"])


@PROPERTY
@given(
    SEEDS,
    UNITS,
    st.sampled_from([None, "UTC", "Europe/Berlin", "+05:30"]),
    st.sampled_from(["int8", "int32", "int64", "uint64", "float32", "float64", "decimal"]),
)
def test_types_of_arrow(seed: int, unit: str, zone: str | None, kind: str) -> None:
    rng = np.random.default_rng(seed)
    log = frame(seed)
    # Within one hour: titles at different times would be compared at equal ones.
    seconds = 3600 * rng.integers(390_000, 480_000) + rng.integers(0, 3600, len(log))
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    log["clicks"] = rng.integers(0, 100, len(log))
    number = pa.decimal128(22, 2) if kind == "decimal" else pa.type_for_alias(kind)
    table = pa.table(
        {
            "item_id": log["item_id"].tolist(),
            "title": pa.array(log["title"].tolist(), pa.large_string()).dictionary_encode(),
            "impressions": log["impressions"].tolist(),
            "clicks": pa.array(log["clicks"].tolist()).cast(number),
            "timestamp": pa.array(seconds * factor, pa.timestamp(unit, zone)),
        }
    )
    with TemporaryDirectory() as folder:
        pq.write_table(table, Path(folder) / "log.parquet")
        logs = found(Path(folder) / "log.parquet")
    assert not isinstance(logs, str), logs
    assert counted(logs) == truth(log)
    assert (logs.totals.first_timestamp, logs.totals.last_timestamp) == (seconds.min(), seconds.max())
