"""A report of the log doctor for runs that tests make by hand."""

from typing import Any

from reward.doctor.diagnosis import SampleRatio
from reward.doctor.examine import LogReport


def log_report(**changes: Any) -> LogReport:
    """A report of some hundred titles with these values changed."""
    values: dict[str, Any] = {
        "source": "logs.parquet",
        "rows": 180,
        "impressions": 180_000,
        "clicks": 9_000,
        "conversions": None,
        "items": 60,
        "arms": 180,
        "items_with_choice": 60,
        "arms_per_item": 3.0,
        "ctr": 0.05,
        "cvr": None,
        "corrected_cvr": None,
        "propensity_share": 1.0,
        "position_share": 0.0,
        "timestamp_share": 0.0,
        "first_timestamp": None,
        "last_timestamp": None,
        "alone_share": None,
        "shared_titles": 0,
        "largest_tied_share": 1 / 60,
        "sample_ratio": SampleRatio("propensity", 60, 0, ()),
        "title_spread": None,
        "title_problems": (),
        "overdispersion": None,
        "positions": {},
        "median_delay_hours": None,
        "context_columns": ("brand",),
        "dropped_columns": {},
        "findings": (),
    }
    return LogReport(**{**values, **changes})
