"""Batches that trl's trainers hand from method to method."""

from typing import Any

Batch = dict[str, Any]
"""Tensors, texts and numbers under trl's names; trl gives them no types."""
