"""Options that commands share, and what they turn into."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from rlopt.config import StageConfig
    from rlopt.run import Run

    ConfigT = TypeVar("ConfigT", bound=StageConfig)

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_RUN = "runs/default"
RUN_VARIABLE = "RLOPT_RUN"


@dataclass
class Session:
    """Options of the invocation as a whole; click's context object.

    Parameters
    ----------
    json
        One JSON object on stdout instead of text.
    verbose
        Show tracebacks, and the libraries' log messages.
    stdout
        Stream for the JSON object, None for the usual stdout.
    """

    json: bool = False
    verbose: bool = False
    stdout: TextIO | None = None


def common(command: Command) -> Command:
    """``--json`` and ``-v``."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_remember("verbose"),
            help="Print more, with the traceback of an error.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_remember("json"),
            help="For programs: one JSON object on stdout, everything else on stderr.",
        ),
    ):
        command = option(command)
    return command


def in_run(command: Command) -> Command:
    """``--run``."""
    return click.option(
        "--run",
        "run_path",
        metavar="DIR",
        envvar=RUN_VARIABLE,
        default=DEFAULT_RUN,
        show_default=True,
        show_envvar=True,
        help="Run directory: all commands of one chain share it.",
    )(command)


def columns(command: Command) -> Command:
    """``--columns``."""
    return click.option(
        "--columns",
        metavar="NAME=COLUMN,...",
        help="If your columns have other names: title=headline,item_id=test+image (a+b joins columns into one key). "
        "creative= leaves the column creative out.",
    )(command)


def query(command: Command) -> Command:
    """``--query``."""
    return click.option(
        "--query",
        metavar="FILE|SQL",
        help="If the source is a database (postgresql://, sqlite:///, duckdb:/// ...): the SQL to run, "
        "or a file with it.",
    )(command)


def reviews(what: str) -> Callable[[Command], Command]:
    """``--reviews``, and what it does for a command."""
    return click.option("--reviews", metavar="DB", help=what)


def tmp_dir(command: Command) -> Command:
    """``--tmp-dir``."""
    return click.option(
        "--tmp-dir",
        metavar="DIR",
        help="Folder for the temporary files that reading logs needs. [default: the system's temporary folder]",
    )(command)


def output(command: Command) -> Command:
    """``-o`` for the file a command writes, and how where it is CSV."""
    return click.option(
        "-o", "--output", "out", metavar="FILE", required=True, type=click.Path(path_type=Path), help="File to write."
    )(csv(command))


def csv(command: Command) -> Command:
    """``--excel`` and ``--raw`` of a command that writes CSV."""
    for option in (
        click.option(
            "--raw", is_flag=True, expose_value=False, callback=_csv_style,
            help="CSV for programs: write cells that begin with = + - @ unchanged. By default an "
"apostrophe guards them, because a spreadsheet would run them as formulas.",
        ),
        click.option(
            "--excel", is_flag=True, expose_value=False, callback=_csv_style,
            help="CSV for Excel: begin with a byte order mark, which Excel needs to show Chinese.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _csv_style(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    """Keep the style until the command has ended."""
    asked = context.meta.setdefault("rlopt.csv_style", {})
    asked[parameter.name] = value
    if len(asked) == 2 and any(asked.values()):
        from rlopt.csv_files import csv_style

        context.with_resource(csv_style(**asked))
    return value


def there(source: str | Path) -> None:
    """Report a missing file before anything slow is loaded."""
    from reward.logs.there import check_there

    check_there(source)


def open_run(path: str, *, create: bool = False) -> "Run":
    """The run directory of ``--run``."""
    from rlopt.run import Run

    return Run.open(path, create=create)


def fitted_run(path: str) -> "Run":
    """The run directory of ``--run``; reports a missing ``fit-reward`` before anything slow is loaded."""
    run = open_run(path)
    run.require("fit-reward")
    return run


def writing_run(path: str) -> "Run":
    """The run directory of ``--run``, which may have learned from titles alone; as `fitted_run`."""
    run = open_run(path)
    run.require_titles()
    return run


def settings(
    model: "type[ConfigT]", config: Path | None, flags: Mapping[str, Any], run: "Run | None" = None
) -> "ConfigT":
    """Settings of a stage: defaults < the run's preset < YAML < flags; an option that was not given changes none."""
    from rlopt.config import load

    given = {name: None if value == () else value for name, value in flags.items()}
    return load(model, config, given, preset=run.preset() if run is not None else None)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, bool], bool]:
    def callback(context: click.Context, _: click.Parameter, value: bool) -> bool:
        if value:
            setattr(context.ensure_object(Session), name, True)
        return value

    return callback
