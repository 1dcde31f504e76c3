"""Text files in the shapes users have: one table, written in any of them, reads back the same or is refused."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward.errors import LogError
from reward.logs.catalogue import read_titles

HEAD = ("item_id", "title", "brand")
ROWS = [("1", 'Lamp 12" wide, oak', "Norvik"), ("2", "红色 连衣裙", "b; c"), ("3", "Two\twords", "x")]
TITLES = [title for _, title, _ in ROWS]


def csv_text(delimiter: str, end: str, *, before: str = "", head: tuple[str, ...] = HEAD) -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in f'"\n{delimiter}') else text

    return before + end.join(delimiter.join(map(cell, row)) for row in (head, *ROWS)) + end


def titles_of(path: Path, content: bytes) -> list[str]:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return read_titles(path)[1]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]),
    before=st.sampled_from(["", "Report\n", 'Report\n"May 1, 2026 - May 31"\n\n']),
    packed=st.booleans(),
    broken_head=st.booleans(),
)
def test_a_table_in_any_shape(
    tmp_path: Path, delimiter: str, end: str, encoding: str, before: str, packed: bool, broken_head: bool
) -> None:
    head = (*HEAD[:2], "brand\nname") if broken_head else HEAD
    content = csv_text(delimiter, end, before=before.replace("\n", end), head=head).encode(encoding)
    try:
        assert titles_of(tmp_path / f"t.csv{'.gz' if packed else ''}", content) == TITLES
    except LogError as error:
        # A carriage return ends rows, so a line feed inside of a cell is what differs.
        assert (broken_head and end != "\n") or "quote" in str(error), error  # noqa: PT017


@pytest.mark.parametrize("form", ["lines", "array", "pretty", "wrapped", "nested", "joined", "marked"])
def test_json_in_any_shape(tmp_path: Path, form: str) -> None:
    rows = [dict(zip(HEAD, row, strict=True)) for row in ROWS]
    text = {
        "lines": "\n".join(map(json.dumps, rows)),
        "array": json.dumps(rows),
        "pretty": "\n".join(json.dumps(row, indent=2) for row in rows),
        "wrapped": json.dumps({"status": "ok", "data": rows}, indent=1),
        "nested": json.dumps({"response": {"n": 3, "rows": rows}}),
        "joined": "".join(map(json.dumps, rows)),
        "marked": "\ufeff" + "\n".join(map(json.dumps, rows)),
    }[form]
    for name in ("t.jsonl", "t.json"):
        assert titles_of(tmp_path / name, text.encode()) == TITLES


def test_quotes_of_tsv_are_letters_unless_they_enclose_cells(tmp_path: Path) -> None:
    head = "item_id\ttitle\n"
    assert titles_of(tmp_path / "a.tsv", f'{head}1\t"whole"\n2\t12" wide\n3\t"open\n'.encode()) == [
        '"whole"',
        '12" wide',
        '"open',
    ]
    assert titles_of(tmp_path / "b.tsv", f'{head}1\t"12"" wide"\n2\tplain\n'.encode()) == ['12" wide', "plain"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('item_id,title,brand\n1,"a,b\n2,c,d\n', "a quote that opens in line 2"),
        ('item_id,title,brand\n1,"a,b\n2,c,d\n3,e",f\n', "a quote opens in row 1 and closes rows later"),
        ("item_id,title,brand\n1,a\n", "line 2 has 2 columns where the header has 3"),
    ],
)
def test_a_swallowed_row_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        titles_of(tmp_path / "t.csv", text.encode())


def test_encodings_are_told_or_asked_about(tmp_path: Path) -> None:
    colours, things = ("紅色", "白色", "灰藍", "墨綠"), ("北歐橡木邊桌 免運", "陶瓷茶壺 手工", "純棉被套組 新款")
    titles = [f"{colour}{thing}" for colour in colours for thing in things]
    rows = "item_id,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles))
    assert titles_of(tmp_path / "t.csv", rows.encode("big5")) == titles
    # One phrase alone, here again and again, reads as well in another encoding.
    rows = "item_id,title\n" + "".join(f"{n},連衣裙 夏季 新款\n" for n in range(12))
    with pytest.raises(LogError, match=r"big5: '.*連衣裙 夏季 新款"):
        titles_of(tmp_path / "t.csv", rows.encode("big5"))
    with pytest.raises(LogError, match=r"cp932: '.*ケトル.*cp949: .*iconv -f cp932"):
        titles_of(tmp_path / "t.csv", "item_id,title\n1,北欧 ケトル おしゃれ\n".encode("cp932"))


def test_a_lake_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clicks" / "_delta_log").mkdir(parents=True)
    (tmp_path / "clicks" / "_delta_log" / "0.json").write_text("{}")
    (tmp_path / "clicks" / "part.csv").write_text("item_id,title\n1,a\n")
    for source in (tmp_path / "clicks", tmp_path / "clicks" / "*.csv"):
        with pytest.raises(LogError, match=r"Cannot read the Delta table|is a Delta table"):
            read_titles(source)


def test_txt_is_a_table_unless_it_lies_beside_some(tmp_path: Path) -> None:
    """Unicode text as spreadsheets save it: UTF-16, tabs, the name ends in .txt."""
    text = csv_text("\t", "\r\n")
    assert titles_of(tmp_path / "titles.txt", text.encode("utf-16")) == TITLES
    assert read_titles(tmp_path)[1] == TITLES
    (tmp_path / "titles.txt").rename(tmp_path / "titles.tsv")
    (tmp_path / "readme.txt").write_text("What lies here.\n", encoding="utf-8")
    assert read_titles(tmp_path)[1] == TITLES
    with pytest.raises(LogError, match=r"readme\.txt"):
        read_titles(tmp_path / "readme.txt")
