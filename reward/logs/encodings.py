"""Text files in other encodings than UTF-8, and with mixed line ends, become UTF-8 in the temporary folder."""

import codecs
import contextlib
import gzip
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..errors import LogError

SAMPLE_BYTES = 1 << 16
_BLOCK = 1 << 20
_MOST_LINES = 2_000
_CLEARLY = 0.1  # less chaos than any other reading, of charset-normalizer's measure from 0 to 1
_ENOUGH = 10  # different cells past ASCII: one word alone reads as well in a wrong encoding
_MOST_SHOWN = 6
_MOSTLY_UTF8 = 4  # letters past ASCII that are UTF-8, for each byte that is not
_USUAL = ("cp1252", "gb18030", "cp932", "big5", "cp949", "cp1251", "cp1250", "euc_jp", "cp1253", "cp1254", "cp1256")
_RANKED = (*_USUAL, "mac_roman", "cp850", "cp866", "koi8_r", "cp1255", "cp437")
"""Encodings whose names users know, before others that read the same letters (mac_greek reads German ones)."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


_ESCAPES = {b"\x1b$B": "iso2022_jp_ext", b"\x1b$@": "iso2022_jp_ext", b"\x1b$)C": "iso2022_kr"}
"""Encodings of bytes below 128, which are UTF-8 as well, by what switches to their letters."""


def opener(path: Path) -> Any:
    """Function that opens a file, packed or not."""
    return gzip.open if path.name.lower().endswith(".gz") else open


def marked_encoding(head: bytes) -> str | None:
    """The encoding that the first bytes tell: by a byte order mark, as UTF-16 by zeros, by escapes; None for others."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[: len(head) // 2 * 2]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(zeros) >= 4 and zeros.count(0) > 0.4 * len(zeros) and sample.count(0) < 0.6 * len(sample):
            return encoding
    return next((encoding for escape, encoding in _ESCAPES.items() if escape in head), None)


def written_as_utf8(path: Path, encoding: str, target: Path) -> Path:
    """Write ``path`` to ``target`` as UTF-8 with line feeds for line ends.

    Raises
    ------
    LogError
        If the bytes are not in this encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with opener(path)(path, "rb") as source, target.open("w", encoding="utf-8", newline="") as out:
            rest = ""
            while block := source.read(_BLOCK):
                text = rest + decoder.decode(block)
                rest = "\r" if text.endswith("\r") else ""
                out.write(text[: len(text) - len(rest)].replace("\r\n", "\n").replace("\r", "\n"))
            out.write((rest + decoder.decode(b"", final=True)).replace("\r", "\n"))
    except UnicodeError as error:
        raise LogError(f"{path} is not {encoding} throughout: {error.__class__.__name__} at its end.") from error
    return target


def without_lines(path: Path, n: int, target: Path) -> Path:
    """Write ``path`` without its first ``n`` lines to ``target``."""
    with (
        opener(path)(path, "rt", encoding="utf-8", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        for _ in range(n):
            source.readline()
        shutil.copyfileobj(source, out, _BLOCK)
    return target


def detected_encoding(path: Path) -> str:
    """The encoding of a text that is not UTF-8.

    Raises
    ------
    LogError
        If several fit about as well, or there is little to tell by: with a line of the file as each would read it;
        if none does; or if all but a few bytes are UTF-8, with the first line that is not.
    """
    _refuse_almost_utf8(path)
    from charset_normalizer import from_bytes

    sample = b"".join(_foreign_lines(path))
    readings: dict[str, tuple[float, int, str]] = {}
    for match in from_bytes(sample):
        usual = min(match.could_be_from_charset, key=_rank)
        readings.setdefault(str(match), (match.chaos, _rank(usual), usual))
    found = [(chaos, name, text) for text, (chaos, _, name) in sorted(readings.items(), key=lambda pair: pair[1])]
    if not found:
        raise LogError(f"{path} is not UTF-8 text, nor any other that can be told. Export it again as UTF-8.")
    clear = len(found) == 1 or found[0][0] + _CLEARLY < found[1][0]
    if clear and len(_foreign_cells(sample)) >= _ENOUGH:
        return found[0][1]
    candidates = {encoding: text for _, encoding, text in found[:4]} | _usual_readings(sample, set(readings))
    shown = "; ".join(f"{encoding}: {_line(text)!r}" for encoding, text in list(candidates.items())[:_MOST_SHOWN])
    raise LogError(
        f"{path} is not UTF-8 text. It may be one of these, which read its first line past ASCII as {shown}. "
        f"Convert it from the right one, for example: iconv -f {_for_iconv(found[0][1])} -t utf-8 IN > OUT"
    )


def _for_iconv(encoding: str) -> str:
    """The name that iconv has for an encoding of Python."""
    return "macintosh" if encoding == "mac_roman" else encoding.replace("_", "-")


def _refuse_almost_utf8(path: Path) -> None:
    """Stop if UTF-8 has a few wrong bytes: read in any other encoding, all its other letters would be wrong."""
    letters = wrong = first = 0
    shown = ""
    with opener(path)(path, "rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_BLOCK), b""), 1):
            if line.isascii():
                continue
            text = line.decode("utf-8", "surrogateescape")
            odd = [i for i, character in enumerate(text) if "\udc80" <= character <= "\udcff"]
            wrong += len(odd)
            letters += sum(not character.isascii() for character in text) - len(odd)
            if odd and not first:
                before, after = text[max(0, odd[0] - 20) : odd[0]], text[odd[0] + 1 : odd[0] + 12]
                first, shown = number, f"{before}\ufffd{after}".encode("utf-8", "replace").decode().strip()
    if wrong and letters >= _MOSTLY_UTF8 * wrong:
        raise LogError(
            f"{path} is UTF-8 text but for {wrong:,} of its bytes, the first in line {first:,}: {shown!r}, such as of "
            "a letter that was cut, or of lines from elsewhere. Correct them, or drop them: "
            "iconv -c -f utf-8 -t utf-8 IN > OUT"
        )


def _rank(encoding: str) -> int:
    """Usual encodings go before rare ones that read the same bytes as well."""
    return _RANKED.index(encoding) if encoding in _RANKED else len(_RANKED)


def _foreign_cells(sample: bytes) -> set[bytes]:
    """Different cells that hold bytes past ASCII; no character of any encoding has one of these separators in it."""
    return {cell for cell in re.split(rb'[,;\t\r\n"]', sample) if not cell.isascii()}


def _usual_readings(sample: bytes, read: Collection[str]) -> dict[str, str]:
    """Usual encodings -> the sample as they read it, where that is none of the texts ``read``."""
    out: dict[str, str] = {}
    for encoding in _USUAL:
        with contextlib.suppress(UnicodeError):
            text = sample.decode(encoding)
            if text not in read and text not in out.values():
                out[encoding] = text
    return out


def _foreign_lines(path: Path) -> Iterator[bytes]:
    """Lines that hold bytes past ASCII."""
    n = 0
    with opener(path)(path, "rb") as stream:
        while n < _MOST_LINES and (line := stream.readline(_BLOCK)):
            if not line.isascii():
                n += 1
                yield line


def _line(text: str) -> str:
    """The part of the first line that is not ASCII, with what is before and after it."""
    line = next((line for line in text.splitlines() if not line.isascii()), text)
    first = next((i for i, character in enumerate(line) if not character.isascii()), 0)
    return line[max(0, first - 12) : first + 28].strip()
