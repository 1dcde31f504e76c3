"""Inputs as users have them give what they must (`tests.cases`)."""

import pytest

from .cases import CASES, LIST, Case

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"no folder {CASES} (RLOPT_SHARED_DATA names the one beside)"
)


@pytest.mark.parametrize("case", LIST, ids=[case.name for case in LIST])
def test_a_case_gives_what_it_must(case: Case) -> None:
    assert case.look() == case.expected
