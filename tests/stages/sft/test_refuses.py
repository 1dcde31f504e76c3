"""Inputs that SFT refuses before it touches the run: free words for the tiny model, models that cannot write."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.run import Run
from rlopt.stages.sft.stage import train_sft
from tests.stages.menu import make_arms, make_run
from tests.tiny_encoders import save_sentence_encoder


def test_free_words_are_refused_in_a_line_that_names_the_way_out(tmp_path: Path) -> None:
    arms = make_arms(30)
    titles = [f"{title} seventeen wonderful reasons to stay calm {n}" for n, title in enumerate(arms.title)]
    run = make_run(tmp_path / "run", replace(arms, title=np.array(titles, dtype=object)))
    with pytest.raises(PolicyError, match=r"spell only \d+% of the logged titles.*--model") as error:
        train_sft(run)
    assert "\n" not in str(error.value)
    assert not (run / "sft").exists()


@pytest.mark.parametrize("shots", [None, 2])
def test_a_model_that_cannot_write_is_refused_before_the_logs_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shots: int | None
) -> None:
    run = make_run(tmp_path / "run", make_arms(30))

    def unread(*_: object) -> None:
        raise AssertionError("the logs were read first")

    monkeypatch.setattr(Run, "arms", unread)
    folder = save_sentence_encoder(tmp_path / "encoder")
    with pytest.raises(PolicyError, match="is an encoder"):
        train_sft(run, SftConfig(model=str(folder), shots=shots))
    assert not (run / "sft").exists()
