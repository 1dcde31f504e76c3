"""A Dask cluster for the time of a block: one that runs, or two processes on this machine."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelError

if TYPE_CHECKING:
    from distributed import Client

LOCAL_WORKERS = 2
_CONNECT_SECONDS = 10


@contextlib.contextmanager
def dask_client(scheduler: str | None = None) -> Iterator["Client"]:
    """Client of a cluster, for the time of the block.

    Parameters
    ----------
    scheduler
        Address of a running scheduler, such as ``tcp://10.0.0.5:8786``; its workers need rlopt installed. None starts
        `LOCAL_WORKERS` processes on this machine and ends them with the block.

    Raises
    ------
    ModelError
        If Dask is not installed, or no scheduler answers, or it has no worker.
    """
    try:
        import dask.array
        import dask.dataframe  # noqa: F401  LightGBM's estimators need both
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ModelError(
            f"--engine dask needs the extra [dask], and {error.name or error} is not installed. "
            "Install it with: pip install 'rlopt[dask]'"
        ) from error
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            cluster = LocalCluster(
                n_workers=LOCAL_WORKERS,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                host="127.0.0.1",
                silence_logs=logging.ERROR,
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
            client.wait_for_workers(LOCAL_WORKERS)
            client.run(_hush)
        else:
            try:
                client = stack.enter_context(Client(scheduler, timeout=_CONNECT_SECONDS))
            except (OSError, TimeoutError, ValueError, TypeError) as error:
                raise ModelError(
                    f"No Dask scheduler answers at {scheduler} ({type(error).__name__}). Start one with "
                    "`dask scheduler` and workers with `dask worker ADDRESS`, or leave out --scheduler."
                ) from error
            if not workers_of(client):
                raise ModelError(
                    f"The Dask scheduler at {scheduler} has no workers. Start some with: dask worker {scheduler}"
                )
        yield client


def workers_of(client: "Client") -> dict[str, int]:
    """Address of each worker -> its threads."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    return {str(address): int(worker["nthreads"]) for address, worker in found.items()}


def _hush() -> None:
    """Silence LightGBM in a worker of ours: it prints ports and connections to stdout before it reads ``verbosity``."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
