"""Number of threads to compute with: decided here once, before the numeric libraries load.

Small matrices gain nothing from threads and lose a lot when other work shares the cores: OpenMP threads that spin
for a partner the scheduler has parked made a tiny model's step 15 times slower on a busy machine of two cores. So
waiting threads sleep, small models use one thread, and large ones the cores this process may use. Nothing here
depends on the load of the moment: a resumed run must add up numbers in the same order as an uninterrupted one.
"""

import os

from rlopt.errors import ConfigError

VARIABLE = "RLOPT_THREADS"
SMALL_MODEL = 20_000_000  # parameters; below it one thread is as fast as two even on idle cores


def prepare_environment() -> None:
    """Set the defaults OpenMP and BLAS read when they load; what the user has set stays.

    Raises
    ------
    ConfigError
        If RLOPT_THREADS is not a positive whole number.
    """
    wanted = requested()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(wanted or 1))


def requested() -> int | None:
    """The number in RLOPT_THREADS, else the one in OMP_NUM_THREADS, None where neither is set.

    Raises
    ------
    ConfigError
        If RLOPT_THREADS is not a positive whole number.
    """
    if text := os.environ.get(VARIABLE):
        if not text.isdigit() or int(text) < 1:
            raise ConfigError(f"{VARIABLE} must be a whole number of at least 1. Got {text!r}.")
        return int(text)
    openmp = os.environ.get("OMP_NUM_THREADS", "")
    return int(openmp) if openmp.isdigit() and int(openmp) > 0 else None


def available() -> int:
    """Cores this process may use: RLOPT_THREADS, else its CPU affinity within its cgroup's quota."""
    if wanted := requested():
        return wanted
    from joblib import cpu_count

    return int(cpu_count())


def for_model(n_parameters: int) -> int:
    """Threads for training or sampling a torch model of this many parameters."""
    return requested() or (1 if n_parameters < SMALL_MODEL else available())
