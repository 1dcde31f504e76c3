"""Small shops, built once."""

import pytest

from envs.market import Market


@pytest.fixture(scope="session", params=["en", "zh"])
def market(request: pytest.FixtureRequest) -> Market:
    """300 items, in each language."""
    return Market(300, request.param, seed=4)
