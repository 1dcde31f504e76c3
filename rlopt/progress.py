"""Progress on stderr: a bar with the numbers that matter on a terminal, a line now and then in a log file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rlopt import processes
from rlopt.wording import one_line

SECONDS_BETWEEN_LINES = 30.0
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Say nothing on a stderr that is no terminal (``--json``); a terminal still gets its bar."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """True where `set_quiet` holds and stderr is no terminal, and in all processes but the first."""
    return not processes.is_first() or (_quiet and not sys.stderr.isatty())


def note(message: str) -> None:
    """One line for the person who waits, on stderr."""
    if not is_quiet():
        print(one_line(message), file=sys.stderr, flush=True)  # noqa: T201  the one place that writes there


class ProgressBar(Protocol):
    """Progress bar as `track` returns it."""

    def update(self, n: float = 1, **numbers: float | str) -> None:
        """Move on by ``n`` and show ``numbers`` ("reward", "kl") beside the bar."""

    def set(self, done: float, **numbers: float | str) -> None:
        """Move to ``done``."""


@contextmanager
def track(label: str, total: float, start: float = 0) -> Iterator[ProgressBar]:
    """Show progress of ``total`` steps.

    Parameters
    ----------
    label
        "SFT", "PPO" ...
    total
        Steps in all.
    start
        Steps done before (a resumed run).
    """
    if sys.stderr.isatty() and processes.is_first():
        with _terminal_bar(label, total, start) as bar:
            yield bar
    else:
        lines = _Lines(label, total, start)
        yield lines
        lines.finish()


def _shown(numbers: dict[str, float | str]) -> str:
    shown = (f"{k} {v:.4g}" if isinstance(v, (int, float)) else f"{k} {v}" for k, v in numbers.items())
    return one_line("  ".join(shown))


def _amount(number: float) -> str:
    """``4,000,000``, ``12.5``: no powers of ten."""
    return f"{number:,.0f}" if number >= 100 or number == round(number) else f"{number:.3g}"


class _Lines:
    def __init__(self, label: str, total: float, start: float) -> None:
        self.label, self.total, self.done = label, total, start
        self.began = self.told = time.monotonic()
        self.first = start
        self.numbers: dict[str, float | str] = {}

    def update(self, n: float = 1, **numbers: float | str) -> None:
        self.set(self.done + n, **numbers)

    def set(self, done: float, **numbers: float | str) -> None:
        self.done = done
        self.numbers.update(numbers)
        if time.monotonic() - self.told >= SECONDS_BETWEEN_LINES:
            self.told = time.monotonic()
            self._tell()

    def finish(self) -> None:
        if self.numbers or self.told == self.began:
            self._tell()

    def _tell(self) -> None:
        speed = (self.done - self.first) / max(time.monotonic() - self.began, 1e-9)
        done, total, rate = map(_amount, (self.done, self.total, speed))
        note(f"{self.label}  {done}/{total}  {rate}/s  {_shown(self.numbers)}".rstrip())


class _Rich:
    def __init__(self, progress: Any, task: Any) -> None:
        self.progress, self.task = progress, task
        self.numbers: dict[str, float | str] = {}

    def update(self, n: float = 1, **numbers: float | str) -> None:
        self.numbers.update(numbers)
        self.progress.update(self.task, advance=n, numbers=_shown(self.numbers))

    def set(self, done: float, **numbers: float | str) -> None:
        self.numbers.update(numbers)
        self.progress.update(self.task, completed=done, numbers=_shown(self.numbers))


@contextmanager
def _terminal_bar(label: str, total: float, start: float) -> Iterator[ProgressBar]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Rich(progress, progress.add_task(one_line(label), total=total, completed=int(start), numbers=""))
