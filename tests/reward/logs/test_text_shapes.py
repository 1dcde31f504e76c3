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


@pytest.mark.parametrize(
    "title", ["Größe für Läufer", "Chêne été", "橡木凳子", "Дубовый табурет", "木製スツール", "🔥 heiß"]
)
def test_a_wrong_byte_in_utf8_is_named_and_changes_no_other_letter(tmp_path: Path, title: str) -> None:
    text = "item_id,title,brand\n" + "".join(f"{n},{title} {n},Größe\n" for n in range(60))
    cut = text.encode().replace(f"{title} 40".encode(), f"{title} 40".encode()[:-4] + "é".encode()[:1], 1)
    for content in (cut, text.encode() + "60,Lamp,Größe\n".encode("latin-1")):
        line = 42 if content == cut else 62
        with pytest.raises(LogError, match=rf"is UTF-8 text but for [1-4] of its bytes, the first in line {line}: "):
            titles_of(tmp_path / "t.csv", content)


def test_japanese_mail_encodings_are_no_ascii(tmp_path: Path) -> None:
    rows = "item_id,title\n1,木製スツール\n2,Lamp\n"
    assert titles_of(tmp_path / "t.csv", rows.encode("iso2022_jp")) == ["木製スツール", "Lamp"]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
@pytest.mark.parametrize("all_cells", [True, False])
def test_blanks_before_quotes_are_no_part_of_cells(tmp_path: Path, delimiter: str, all_cells: bool) -> None:
    def line(cells: tuple[str, ...], quoted: bool) -> str:
        mark = '"' if quoted else ""
        return f"{delimiter} ".join(f"{mark}{cell}{mark}" if i or all_cells else cell for i, cell in enumerate(cells))

    rows = [(n, title.replace('"', ""), brand) for n, title, brand in ROWS]
    text = "\n".join([line(HEAD, all_cells), *(line(row, True) for row in rows)])
    assert titles_of(tmp_path / "t.csv", text.encode()) == [title for _, title, _ in rows]


def test_names_of_columns_may_have_invisible_ends(tmp_path: Path) -> None:
    text = csv_text(",", "\n", head=("\u200bitem_id", "title\u00a0", "brand"))
    assert titles_of(tmp_path / "t.csv", text.encode()) == TITLES


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("t.csv", b"PAR1", r"a parquet file. Let its name end in \.parquet"),
        ("t.csv", gzip.compress(b"a", mtime=0), r"packed by gzip. Let its name end in \.gz"),
        ("t.txt", b"PK\x03\x04", r"a workbook or a zip file. Let its name end in \.xlsx"),
        ("t.json", b"BZh9", "packed by bzip2. Unpack it first"),
        ("t.csv", b"SQLite format 3\0", "an SQLite database. Read it with sqlite:"),
        ("t.xls", b"item_id\ttitle\n1\ta\n", r"a text under the name of a workbook. Let its name end in \.csv"),
        ("t.xls", b"<html><table><tr><td>1", "a web page under the name of a workbook"),
        ("t.xls", bytes(range(200)), "damaged, or no workbook"),
    ],
)
def test_files_under_a_wrong_name_are_told_for_what_they_are(tmp_path: Path, name: str, head: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(head)
    with pytest.raises(LogError, match=said):
        read_titles(tmp_path / name)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheets_empty_cells_are_no_rows_and_no_header(tmp_path: Path, delimiter: str) -> None:
    before = delimiter.join(["Report", "May", ""]) + "\n" + 2 * delimiter + "\n"
    text = csv_text(delimiter, "\n", before=before) + 2 * (2 * delimiter + "\n")
    assert titles_of(tmp_path / "t.csv", text.encode()) == TITLES
    nameless = "".join(f"{cells}{delimiter}\n" for cells in (f"item_id{delimiter}title", f"1{delimiter}Red"))
    assert titles_of(tmp_path / "t.csv", nameless.encode()) == ["Red"]


@pytest.mark.parametrize("form", ["lists", "objects"])
def test_json_by_column(tmp_path: Path, form: str) -> None:
    columns: dict[str, object] = {name: [row[i] for row in ROWS] for i, name in enumerate(HEAD)}
    if form == "objects":
        columns = {name: {str(n): row[i] for n, row in enumerate(ROWS)} for i, name in enumerate(HEAD)}
    assert titles_of(tmp_path / "t.json", json.dumps(columns).encode()) == TITLES


def test_packed_files_are_told_for_what_they_are(tmp_path: Path) -> None:
    for name in ("t.csv.zip", "t.csv.bz2"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
        with pytest.raises(LogError, match=r"it is packed\. Unpack it first"):
            read_titles(tmp_path / name)


def test_the_command_for_another_encoding_names_it_as_iconv_does(tmp_path: Path) -> None:
    titles = ["Chaise en chêne été", "Écharpe en laine tissée", "Théière en grès", "Lampe à poser dorée"]
    titles += ["Chemise légère", "Tapis de liège", "Vase soufflé à la main", "Étagère rangée", "Poêle émaillée"]
    rows = "item_id,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles))
    with pytest.raises(LogError, match=r"mac_roman: 'Chaise en chêne été.*iconv -f macintosh -t utf-8"):
        titles_of(tmp_path / "t.csv", rows.encode("mac_roman"))
