"""The tiny model is refused where titles are mostly free words, and nothing of the run is touched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlopt.errors import PolicyError
from rlopt.stages.sft.stage import train_sft
from tests.stages.menu import make_arms, make_run


def test_free_words_are_refused_in_a_line_that_names_the_way_out(tmp_path: Path) -> None:
    arms = make_arms(30)
    titles = [f"{title} seventeen wonderful reasons to stay calm {n}" for n, title in enumerate(arms.title)]
    run = make_run(tmp_path / "run", replace(arms, title=np.array(titles, dtype=object)))
    with pytest.raises(PolicyError, match=r"spell only \d+% of the logged titles.*--model") as error:
        train_sft(run)
    assert "\n" not in str(error.value)
    assert not (run / "sft").exists()
