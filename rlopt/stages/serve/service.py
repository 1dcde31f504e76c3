"""A run as a service: loaded, looked after, made into an application."""

import gc
import os
import sys
from pathlib import Path

from reward.saved import parse_json
from rlopt.config import GenerateConfig, ServeConfig
from rlopt.errors import ConfigError
from rlopt.run import Run
from rlopt.serving.app import Service, make_app
from rlopt.serving.assignment_log import AssignmentLog
from rlopt.serving.assignments import Assigner
from rlopt.serving.backend import Served
from rlopt.serving.gate import Gate
from rlopt.stages.serve.models import RunModels, version_of
from rlopt.stages.serve.stage import SETTINGS, token
from rlopt.stages.serve.tables import read_assigner

TURN = 0.001  # seconds
Marks = tuple[tuple[int, int, int] | None, ...]


class RunSource:
    """A run directory and the files of titles, read again when they change.

    Parameters
    ----------
    run, config, writing
        As `rlopt.stages.serve.stage.serve` takes them.
    """

    def __init__(self, run: Run, config: ServeConfig, writing: GenerateConfig) -> None:
        self._run, self._config, self._writing = run, config, writing
        self._seen = self._marks()

    def first(self) -> Served:
        """Load the initial state; errors as `RunModels` and `read_assigner` raise them."""
        assigner = read_assigner(self._run, self._config)  # first, since the models take longer
        _need_log(self._config, assigner)
        return Served(RunModels(self._run, self._writing), assigner)

    def newer(self, old: Served) -> Served | None:
        """Load the current state as a whole; None where nothing changed, or a training is under way."""
        seen = self._marks()
        if seen == self._seen:
            return None
        models = old.models
        if version_of(self._run) != old.models.version:
            fresh = RunModels(self._run, self._writing) if self._complete(old) else None
            if fresh is None or version_of(self._run) != fresh.version:
                return None  # in the midst of it: look again
            models = fresh
        self._seen = seen
        assigner = read_assigner(self._run, self._config)
        if models is old.models and _version(assigner) == _version(old.assigner):
            return None
        return Served(models, assigner)

    def _complete(self, old: Served) -> bool:
        """True if the run can do all that is served now."""
        own_policy = (self._run / self._writing.policy).is_dir() and not old.models.cannot_generate
        return self._run.done("fit-reward") and (not own_policy or self._run.done(self._writing.policy))

    def _marks(self) -> Marks:
        files = [self._run / "manifest.json", *(Path(f) for f in (self._config.titles, self._config.plan) if f)]
        return tuple(_mark(file) for file in files)


def settle_down() -> None:
    """Make the process fit for serving: short turns between loop and models, and no search for garbage in the models.

    A loop that waits five milliseconds, which is Python's default, for each turn of its own answers late.
    """
    sys.setswitchinterval(TURN)
    gc.collect()
    gc.freeze()


def open_service(run: Run, config: ServeConfig, writing: GenerateConfig) -> Gate:
    """The application of a run, its models loaded.

    Raises
    ------
    RloptError, ModelError, LogError
        If run, table, plan or log cannot be used.
    """
    source = RunSource(run, config, writing)
    log = _log(config)
    served = source.first()
    settle_down()
    return make_app(Service(config, served, source, log, token(config)))


def check_service(run: Run, config: ServeConfig) -> None:
    """Find, before workers start, what would make all of them fail; errors as in `open_service`."""
    _need_log(config, read_assigner(run, config))
    if log := _log(config):
        log.close()


def application() -> Gate:
    """The application of a worker, whose settings the parent left in its environment."""
    text = os.environ[SETTINGS]
    told = parse_json(text, SETTINGS, dict[str, object])
    config, writing = ServeConfig.model_validate(told["serve"]), GenerateConfig.model_validate(told["generate"])
    return open_service(Run.open(str(told["run"])), config, writing)


def _log(config: ServeConfig) -> AssignmentLog | None:
    if config.assignment_log is None:
        return None
    return AssignmentLog(Path(config.assignment_log), config.rotate_mib << 20)


def _need_log(config: ServeConfig, assigner: Assigner | None) -> None:
    if assigner is not None and assigner.random and config.assignment_log is None:
        raise ConfigError(
            "Titles are drawn for each unit here, and nobody could analyse that without a log: add "
            "--assignment-log FILE."
        )


def _version(assigner: Assigner | None) -> str | None:
    return None if assigner is None else assigner.version


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
