"""``rlopt serve``: a run over HTTP."""

import logging
import math
import os
import signal
import socket
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from reward.plain import Plain
from rlopt.config import GenerateConfig, ServeConfig
from rlopt.config.serving import LOOPBACK, TOKEN
from rlopt.errors import ConfigError, RunError
from rlopt.progress import note
from rlopt.run import Run
from rlopt.wording import one_line

if TYPE_CHECKING:  # of the extra [serve]
    import uvicorn

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")
SETTINGS = "RLOPT_SERVE_SETTINGS"  # passes the settings to the workers


@dataclass(frozen=True)
class ServeResult(Plain):
    """Summary of a service when it ends."""

    host: str
    port: int
    seconds: float


def serve(run: Run, config: ServeConfig | None = None, writing: GenerateConfig | None = None) -> ServeResult:
    """Serve a run until SIGINT or SIGTERM, then finish the running requests.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``. Titles are written where it has the policy.
    config
        Address to listen on, limits, the table of titles.
    writing
        Rules and settings of ``generate``.

    Raises
    ------
    StageOrderError
        If the run has no reward model.
    ConfigError
        If packages are missing, or the service would be open to others without a token.
    RunError
        If the address cannot be had, or the log of assignments not be written.
    """
    config = config or ServeConfig()
    writing = writing or GenerateConfig(policy=config.policy)
    check_installed()
    token(config)
    run.require("fit-reward")
    began = time.monotonic()
    with _shared_counts(config), _listen(config) as listening:
        port = listening.getsockname()[1]
        if config.workers == 1:
            from rlopt.stages.serve.service import open_service

            server = _server(_uvicorn_config(open_service(run, config, writing), config))
            _say(config, port)
            signal.signal(signal.SIGTERM, _finished)  # uvicorn has ended in peace when it passes the signal on
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
        else:
            _in_workers(run, config, writing, listening, port)
    return ServeResult(config.host, port, time.monotonic() - began)


def check_installed() -> None:
    """Check that the extra is there.

    Raises
    ------
    ConfigError
        If it is not.
    """
    try:
        for package in PACKAGES:
            import_module(package)
    except ImportError as error:
        raise ConfigError(f"rlopt serve needs the package {error.name}: pip install 'rlopt[serve]'") from error


def token(config: ServeConfig) -> str | None:
    """Token that requests must carry; None where only this machine can ask and nothing is set.

    Raises
    ------
    ConfigError
        If others could ask and there is no token, or the token is unusable.
    """
    found = os.environ.get(TOKEN)
    if found is None and config.host not in LOOPBACK:
        raise ConfigError(
            f"--host {config.host} lets others ask, and there is no token. Set {TOKEN} to a long random text "
            "(openssl rand -hex 32), or leave --host out."
        )
    if found is not None and (len(found) < 16 or not found.isascii() or not found.isprintable() or " " in found):
        raise ConfigError(f"{TOKEN} must have 16 or more ASCII characters and no blank (openssl rand -hex 32).")
    return found


def _say(config: ServeConfig, port: int) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    note(f"Serving on http://{host}:{port}  (description: /openapi.json, counters: /metrics). Ctrl-C ends it.")


def _listen(config: ServeConfig) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise RunError(
            f"Cannot listen on {config.host}, port {config.port}: {error.strerror}. Choose others with --host and "
            "--port."
        ) from error
    listening.set_inheritable(True)
    return listening


def _uvicorn_config(app: Any, config: ServeConfig, **more: Any) -> "uvicorn.Config":
    import uvicorn

    _log_in_one_line()
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(config.timeout) + 1,
        **more,
    )


def _server(config: "uvicorn.Config") -> "uvicorn.Server":
    import uvicorn

    return uvicorn.Server(config)


def _in_workers(run: Run, config: ServeConfig, writing: GenerateConfig, listening: socket.socket, port: int) -> None:
    from uvicorn.supervisors import Multiprocess

    from rlopt.files import to_json
    from rlopt.stages.serve.service import check_service

    check_service(run, config)
    os.environ[SETTINGS] = to_json(
        {
            "run": str(run.path),
            "serve": config.model_dump(mode="json", exclude_unset=True),  # some defaults depend on what is given
            "generate": writing.model_dump(mode="json", exclude_unset=True),
        }
    )
    how = _uvicorn_config("rlopt.stages.serve.service:application", config, factory=True, workers=config.workers)
    _say(config, port)
    Multiprocess(how, sockets=[listening]).run()


def _shared_counts(config: ServeConfig) -> AbstractContextManager[Any]:
    """Folder where the workers count together; set before prometheus_client is loaded."""
    if config.workers == 1:
        return nullcontext()
    folder = tempfile.TemporaryDirectory(prefix="rlopt-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder.name
    return folder


def _finished(*_: object) -> None:
    """Handle SIGTERM after the server has ended: do nothing more."""


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _log_in_one_line() -> None:
    """Send uvicorn's warnings and errors on broken requests to stderr, free of control characters."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(levelname)s: %(message)s"))
    logger = logging.getLogger("uvicorn")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.WARNING)
