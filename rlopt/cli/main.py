"""The ``rlopt`` command: finds the commands, and turns every error into one line and an exit code."""

import atexit
import contextlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module

import click

from rlopt import __version__
from rlopt.cli import options
from rlopt.cli.options import Session
from rlopt.errors import RloptError
from rlopt.wording import one_line, safe_json

EXIT_INTERRUPTED = 130
EXIT_USAGE = 2
_SECTIONS = {
    "A first look": ("try", "demo"),
    "From logs to a verdict": ("fit-reward", "sft", "ppo", "offline-eval", "compare", "probe"),
    "Titles": ("generate", "review", "score", "explain", "evaluate-text", "tag", "export", "push"),
    "What to show": ("explore", "serve"),
    "A/B tests": ("ab-plan", "ab-analyze"),
    "Logs": ("check-logs", "logs-sql", "simulate"),
    "Settings": ("config-schema",),
}
_MODULES = {"try": "try_logs"}  # a word of Python's own


class _Commands(click.Group):
    """Loads a command's module when it is called or listed; the help lists them in sections, in the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in _SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = _MODULES.get(cmd_name, cmd_name.replace("-", "_"))
        command: click.Command = import_module(f"rlopt.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, self._summary(ctx, name)) for name in names])

    def _summary(self, ctx: click.Context, name: str) -> str:
        """The first paragraph of a command's help, whole."""
        command = self.get_command(ctx, name)
        text = inspect.cleandoc(command.help or "") if command else ""
        return " ".join(text.split("\n\n", 1)[0].split())


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="rlopt")
@options.common
@click.pass_context
def cli(context: click.Context) -> None:
    """Titles that earn clicks, learned from your logs.

    \b
    rlopt fit-reward logs.parquet    learn what a title earns
    rlopt ppo --steps 2000           train a title policy against it
    rlopt offline-eval               would it beat the baseline?

    The three share a run directory (--run DIR, or RLOPT_RUN, else runs/default).

    \b
    rlopt try logs.csv               all three on your logs, in minutes
    rlopt demo                       no logs yet? a simulated shop
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command line and exit."""
    atexit.register(_quiet_teardown)  # the first that is registered runs last
    sys.exit(run(sys.argv[1:]))


def _quiet_teardown() -> None:
    """Drop what extensions print while Python takes itself down; ``-v`` keeps it.

    After DuckDB and a training in one process, nanobind counts dozens of objects that were not given back.
    """
    if not {"-v", "--verbose"} & set(sys.argv):
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The command line without the program's name.

    Returns
    -------
    Exit code: 0 done, 1 an error the user can act on, 2 wrong usage, 130 interrupted; commands may have their own.
    """
    session = Session(json="--json" in arguments, verbose=bool({"-v", "--verbose"} & set(arguments)))
    try:
        _prepare(session)
        with _results_only_on_stdout(session):
            return _invoke(arguments, session)
    except click.UsageError as error:
        if error.ctx is not None:
            click.echo(f"{error.ctx.get_usage()}\nHelp: {error.ctx.command_path} --help", err=True)
        return _fail(session, error.format_message(), EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _fail(session, "Interrupted. The same command continues where this one stopped.", EXIT_INTERRUPTED)
    except BrokenPipeError:  # `rlopt ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the one place where every error ends
        if session.verbose:
            traceback.print_exc()
        return _fail(session, _one_line(error), error.exit_code if isinstance(error, RloptError) else 1)


def _invoke(arguments: Sequence[str], session: Session) -> int:
    try:
        code = cli.main(list(arguments), prog_name="rlopt", standalone_mode=False, obj=session)
    except click.Abort as abort:
        if isinstance(abort.__cause__, EOFError):  # click takes it for Ctrl-D; a damaged file is more likely
            raise abort.__cause__ from None
        raise
    return code if isinstance(code, int) else 0


def _prepare(session: Session) -> None:
    import logging
    import warnings

    from rlopt import progress, threads

    threads.prepare_environment()
    progress.set_quiet(session.json)
    if not session.verbose:
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)
        logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # silences warnings at torchao's import
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        os.environ.setdefault("TQDM_DISABLE", "1")  # the stages have a bar of their own
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@contextlib.contextmanager
def _results_only_on_stdout(session: Session) -> Iterator[None]:
    """With ``--json``, send what libraries print to stderr, also what they print past Python."""
    if not session.json:
        yield
        return
    session.stdout, printed = sys.stdout, None
    with contextlib.suppress(OSError, ValueError):  # a test's captured stdout is no file
        if sys.stdout.fileno() == 1:
            sys.stdout.flush()
            printed = os.dup(1)
            session.stdout = os.fdopen(printed, "w", encoding="utf-8", closefd=False)
            os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        session.stdout.flush()
        if printed is not None:
            os.dup2(printed, 1)
            os.close(printed)
        session.stdout = None


def _one_line(error: Exception) -> str:
    from envs.errors import EnvError
    from reward.errors import RewardError

    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    text = " ".join(str(error).split())
    if isinstance(error, (RloptError, RewardError, EnvError)):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'}: {error.strerror}."
    if isinstance(error, MemoryError):
        return "Out of memory. Use smaller batches (--batch-size) or a smaller --memory-limit."
    return f"Unexpected {type(error).__name__}: {text} This is a bug in rlopt; -v shows where."


def _fail(session: Session, message: str, code: int) -> int:
    click.echo(f"Error: {one_line(message)}", err=True)
    if session.json:
        from rlopt.files import to_json

        click.echo(safe_json(to_json({"error": message})))
    return code
