"""Numbers that are spelt out."""

import pytest

from reward.features.numerals import as_digits
from reward.text import words


@pytest.mark.parametrize(
    ("text", "unit", "read"),
    [
        ("套装三件套", "件", "套装3件套"),
        ("两件", "件", "2件"),
        ("十二寸", "寸", "12寸"),
        ("二十件", "件", "20件"),
        ("三百二十件", "件", "320件"),
        ("三百五件", "件", "350件"),
        ("三百零五件", "件", "305件"),
        ("一千零二十四件", "件", "1024件"),
        ("一万二件", "件", "12000件"),
        ("三万五千件", "件", "35000件"),
        ("二〇二四年", "年", "2024年"),
        ("Two pack", "pack", "2 pack"),
        ("twelve pack", "pack", "12 pack"),
        ("一件代发", "件", "一件代发"),
        ("十分好看", "分", "十分好看"),
        ("百搭", "搭", "百搭"),
        ("第三件半价", "件", "第三件半价"),
        ("3十件", "件", "3十件"),
        ("四季", "件", "四季"),
        ("one pack", "pack", "one pack"),
        ("two dresses", "pack", "two dresses"),
        ("", "件", ""),
        ("三", "件", "三"),
    ],
)
def test_a_spelt_number_before_a_unit_is_read(text: str, unit: str, read: str) -> None:
    assert list(as_digits(words(text), {unit})) == words(read)


@pytest.mark.parametrize("number", [2, 9, 11, 20, 35, 99, 100, 101, 110, 256, 300, 999])
def test_every_number_reads_as_written_in_full(number: int) -> None:
    digits = "零一二三四五六七八九"
    hundreds, tens, ones = number // 100, number // 10 % 10, number % 10
    spelt = (digits[hundreds] + "百" if hundreds else "") + (digits[tens] + "十" if tens else "")
    spelt += ("零" if hundreds and not tens and ones else "") + (digits[ones] if ones else "")
    assert list(as_digits(words(spelt + "件"), {"件"})) == [str(number), "件"]
