"""Assignment of titles to impressions: the terms that logs, settings and verdict share."""

from typing import Literal

Assignment = Literal["randomized", "logged", "unknown"]
"""At random within the item, given what the logs record of the impression; with the chances that the logs hold; or
nobody knows how."""
