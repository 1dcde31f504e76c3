"""DuckDB's errors as one clear line each, in the words of the user's file."""

import contextlib
import re
import zlib
from collections.abc import Iterator

import duckdb

from ..errors import LogError


class NotUtf8Error(LogError):
    """A text that is not UTF-8."""


@contextlib.contextmanager
def clear_errors(where: str) -> Iterator[None]:
    """Turn DuckDB's errors into one clear line about ``where``."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        first = " ".join(text.split("\n\n")[0].split("Possible")[0].split("Try setting")[0].split())
        first = re.sub(r"^(\w+ )+Error: ", "", first)
        if any(word in text.lower() for word in ("utf-8", "utf8", "unicode")):
            raise NotUtf8Error(f"{where} is not UTF-8 text. Export it again as UTF-8.") from error
        if place := re.search(r"CSV Error on Line: (\d+)", text):
            message = f"Cannot read {where}: {_csv_reason(int(place[1]), text)}."
        elif place := re.search(r"Malformed JSON.* in (line|record/value) (\d+): ([^.]*)", text):
            near = f"{place[1].removeprefix('record/')} {int(place[2]):,}"  # the engine counts loosely
            message = f"Cannot read {where}: it is not JSON throughout, {place[3].strip()} near {near}."
        elif cast := re.search(
            r'reading file "([^"]+)": failed to cast column "([^"]+)" from type (\S+) to (\S+):', text
        ):
            message = (
                f"Cannot read {where}: the column '{cast[2]}' is {cast[3]} in {cast[1]}, and {cast[4]} in other files. "
                "Write it as one type in all of them."
            )
        elif double := re.search(r'duplicate key "([^"]*)"', text):
            message = f"Cannot read {where}: one of its JSON objects has the key {double[1]!r:.60} twice."
        elif "state machine" in text:
            message = f"Cannot read {where}: its quotes or line ends are not those of a CSV file."
        elif isinstance(error, duckdb.OutOfMemoryException):
            message = (
                f"{where} does not fit: {first[:200]}. Give a larger memory_limit, or a --tmp-dir with room to spill."
            )
        elif isinstance(error, duckdb.ParserException) and "emory" in text:
            message = f"memory_limit must be a size such as 1GB. {first[:200]}"
        elif "No space left" in text:
            message = f"No space left in the temporary folder while reading {where}. Name another with --tmp-dir."
        else:
            message = f"Cannot read {where}: {first[:300].rstrip('. ')}."
        raise LogError(message) from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # DuckDB's word for Ctrl-C
            raise KeyboardInterrupt from error
        raise


def _csv_reason(line: int, text: str) -> str:
    columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if columns:
        return (
            f"line {line:,} has {columns[2]} columns where the header has {columns[1]}. A delimiter or a quote is "
            "missing there, or one is too many"
        )
    if most := re.search(r"Maximum line size of (\d+) bytes exceeded", text):
        return f"line {line:,} is longer than {int(most[1]) / 1e6:.0f} MB"
    if "quote" in text.split("Possible")[0].lower():
        return f"a quote that opens in line {line:,} is not closed at the end of its cell"
    return f"line {line:,} is no line of a CSV file"


@contextlib.contextmanager
def readable(where: object) -> Iterator[None]:
    """Turn the errors of opening a text file into one clear line about ``where``."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise LogError(f"Cannot read {where}: {error}.") from error
