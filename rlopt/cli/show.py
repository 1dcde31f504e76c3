"""Results on stdout: one JSON object with ``--json``, else a few aligned lines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import click

from rlopt import processes
from rlopt.cli.options import Session
from rlopt.wording import one_line, safe_json, some_lines

if TYPE_CHECKING:
    from reward.plain import JsonObject


class Result(Protocol):
    """Result of a stage."""

    def to_dict(self) -> "JsonObject":
        """Plain JSON data."""


def show(result: Result, text: str | None = None) -> None:
    """Print a result.

    Parameters
    ----------
    result
        A stage's result.
    text
        Text for a person; by default its values as aligned lines.
    """
    if not processes.is_first():
        return
    session = click.get_current_context().ensure_object(Session)
    if session.json:
        from rlopt.files import to_json  # loads pydantic, which the list of commands can do without

        click.echo(safe_json(to_json(result.to_dict())), file=session.stdout)
    else:
        click.echo(some_lines(text if text is not None else lines(result.to_dict())))


def lines(values: Mapping[str, Any]) -> str:
    """``name  value`` lines, aligned; nested values are indented under their name."""
    return "\n".join(_lines(values))


def _lines(values: Mapping[str, Any], indent: str = "") -> list[str]:
    width = max((len(_label(name)) for name in values), default=0)
    out = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            out += [f"{indent}{_label(name)}", *_lines(value, indent + "  ")]
        elif isinstance(value, (list, tuple)) and value:
            out += [f"{indent}{_label(name)}", *(f"{indent}  {_short(entry)}" for entry in value)]
        else:
            out.append(f"{indent}{_label(name):<{width}}  {_short(value)}")
    return out


def _label(name: Any) -> str:
    return one_line(str(name).replace("_", " "))


def _short(value: Any) -> str:
    if value is None or value in ({}, [], ()):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "  ".join(f"{_label(name)} {_short(inner)}" for name, inner in value.items())
    return one_line(str(value))


def percent(value: float | None, digits: int = 1) -> str:
    """``+12.3%``; "-" where there is no value."""
    return "-" if value is None or value != value else f"{100 * value:+.{digits}f}%"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """A table as text, 100 columns wide at most where stdout is no terminal."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(one_line(title)) if title else None, title_justify="left")
    for number, name in enumerate(header):
        grid.add_column(Text(one_line(name)), justify="left" if number == 0 else "right")
    for row in rows:
        grid.add_row(*(Text(one_line(cell)) for cell in row))
    text = StringIO()
    Console(file=text, width=100).print(grid)
    return text.getvalue().rstrip("\n")
