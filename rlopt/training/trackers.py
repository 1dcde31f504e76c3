"""Trackers beside the JSON lines: checked before anything slow begins, and what each leaves stays in the run."""

import importlib.util
import netrc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from rlopt.errors import PolicyError

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")
SECONDS = 5  # time limit for a tracker's server to answer
_WANDB = "https://api.wandb.ai"


def check_trackers(names: Sequence[str]) -> list[str]:
    """``names``, all of them known, installed, and their servers there.

    Raises
    ------
    PolicyError
        Says what to install, or which server does not answer.
    """
    for name in names:
        if name not in TRACKERS:
            raise PolicyError(f"--report-to must be one of {', '.join(TRACKERS)}. Got {name!r}.")
        if importlib.util.find_spec(name) is None:
            raise PolicyError(f"--report-to {name} needs the package {name}: pip install {name}")
        if name == "mlflow":
            _check_server(
                name, os.environ.get("MLFLOW_TRACKING_URI", ""), "unset MLFLOW_TRACKING_URI (files in the run)"
            )
        if name == "wandb":
            _check_wandb(os.environ)
    return list(names)


@contextmanager
def kept_in(folder: Path, stage: str, names: Sequence[str]) -> Iterator[None]:
    """While it holds, trackers that keep files keep them in ``folder``; what the user's environment says goes first.

    Without it TensorBoard writes among the checkpoints, which go when a stage has ended.
    """
    own = {
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard" / stage)},
        "wandb": {"WANDB_DIR": str(folder), "WANDB_PROJECT": "rlopt"},
        "trackio": {"TRACKIO_DIR": str(folder / "trackio")},
        "mlflow": {
            "MLFLOW_TRACKING_URI": (folder / "mlflow").resolve().as_uri(),
            "MLFLOW_ALLOW_FILE_STORE": "true",  # without a server, files are what a run can hold
            "MLFLOW_EXPERIMENT_NAME": "rlopt",
        },
    }
    missing = {key: value for name in names for key, value in own[name].items() if key not in os.environ}
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(missing)
    try:
        yield
    finally:
        for key in missing:
            os.environ.pop(key, None)


def _check_wandb(environment: Mapping[str, str]) -> None:
    if environment.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return
    address = environment.get("WANDB_BASE_URL", _WANDB)
    if "WANDB_API_KEY" not in environment and not _in_netrc(address):
        raise PolicyError("--report-to wandb: nobody is logged in. Run wandb login, or set WANDB_MODE=offline.")
    _check_server("wandb", address, "set WANDB_MODE=offline (files in the run)")


def _in_netrc(address: str) -> bool:
    try:
        return netrc.netrc().authenticators(address.split("://")[-1].split("/")[0]) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _check_server(name: str, address: str, way_out: str) -> None:
    """Any answer will do, a refusal too: that is the tracker's to tell."""
    if not address.startswith(("http://", "https://")):
        return
    try:
        with urlopen(address, timeout=SECONDS):  # noqa: S310  http(s) only, just checked
            pass
    except HTTPError:
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        shown = address.split("@")[-1]  # no password
        raise PolicyError(
            f"--report-to {name}: the server {shown} does not answer ({why}). Start it, or {way_out}."
        ) from error
