"""``rlopt simulate``: logs of a shop whose truth is known."""

from pathlib import Path

from envs.market import Market
from envs.simulate import SimulatedLogs
from envs.simulate import simulate as write_logs
from rlopt.config import SimulateConfig
from rlopt.files import disk_errors, refuse_in_run
from rlopt.progress import track


def simulate(out: str | Path, config: SimulateConfig | None = None) -> SimulatedLogs:
    """Write ``OUT``, ``STEM.items.parquet`` and ``STEM.market.json``.

    Parameters
    ----------
    out
        Parquet file of the logs; missing parent folders are made.
    config
        Size, language and seed of the shop.

    Raises
    ------
    SimulationError, MarketError
        If a setting is out of range or the files cannot be written.
    RunError
        If the folder cannot be made, or lies in a run directory.
    """
    out = Path(out)
    refuse_in_run(out)
    return write_shop(out, config or SimulateConfig())


def write_shop(out: Path, config: SimulateConfig) -> SimulatedLogs:
    """Simulate a shop as `simulate`, wherever ``out`` lies: the demo's shop is a part of its run."""
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    market = Market(config.items, config.locale, config.seed)
    with track("simulate", config.impressions) as bar:
        return write_logs(market, config.impressions, out, config.rows, progress=bar.set)
