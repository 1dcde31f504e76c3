"""Settings of ``rlopt serve``."""

from typing import ClassVar

from .base import StageConfig, setting
from .writing import WHICH_POLICY

LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN = "RLOPT_SERVE_TOKEN"  # noqa: S105  the variable that holds it


class ServeConfig(StageConfig):
    """``serve``: where it listens, what it hands out, and what it refuses. ``seed`` is that of the assignments."""

    section: ClassVar[str] = "serve"

    host: str = setting("127.0.0.1", f"Address to listen on; any but loopback needs {TOKEN}.", min_length=1)
    port: int = setting(8000, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    workers: int = setting(1, "Processes that serve; each holds the models in memory.", ge=1, le=64)
    policy: str = setting("ppo", WHICH_POLICY, metavar="NAME", min_length=1)
    titles: str | None = setting(
        None,
        "Table from which /v1/titles answers: item_id and title, with probability if an item has "
        "several, or with arm for a --plan.",
        metavar="FILE",
        min_length=1,
    )
    plan: str | None = setting(
        None, "File that ab-plan --assign wrote: it says which unit gets which arm.", metavar="FILE", min_length=1
    )
    assignment_log: str | None = setting(
        None,
        "File that gets a JSON line for every title served; required with probabilities or a plan.",
        metavar="FILE",
        min_length=1,
    )
    rotate_mib: int = setting(64, "Size in MiB at which the assignment log is renamed and a new one started.", ge=1)
    timeout: float = setting(30.0, "Seconds a request may take.", gt=0, le=3600)
    max_body_kib: int = setting(1024, "Largest request body in KiB; larger ones get 413.", ge=1)
    max_titles: int = setting(1000, "Most titles per request to score.", ge=1)
    max_items: int = setting(32, "Most items per request to generate.", ge=1, le=1000)
    max_batch: int = setting(4096, "Most titles scored at once, over all requests.", ge=1)
    max_wait_ms: float = setting(
        2.0, "Milliseconds that a scoring request waits for others to share its batch.", ge=0, le=1000
    )
    reload_every: float = setting(5.0, "Seconds between checks for a newer run or table; 0: never.", ge=0)
