"""``--encoder`` in a run: refused before any work, cached in the run, and kept when the language model changes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Outcome
from tests.tiny_encoders import save_language_model

Rlopt = Callable[..., Outcome]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    rows = [
        {
            "item_id": f"item-{i}",
            "title": f"{word} thing {i}",
            "impressions": 3000,
            "clicks": int(rng.binomial(3000, p)),
        }
        for i in range(40)
        for word, p in (("fine", 0.03), ("awful", 0.02), ("some", 0.025))
    ]
    path = tmp_path_factory.mktemp("logs") / "logs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def fit(rlopt: Rlopt, logs: Path, run: Path, encoder: object) -> Outcome:
    shares = ("--members", 1, "--judge-share", 0.3, "--test-share", 0.1)
    return rlopt("fit-reward", logs, "--run", run, "--encoder", encoder, *shares)


def test_an_encoder_that_is_not_there_is_refused_before_the_logs_are_read(
    rlopt: Rlopt, logs: Path, tmp_path: Path
) -> None:
    for encoder, message in (("policy", "Train one (rlopt sft)"), (tmp_path / "none", "no encoder can be loaded")):
        outcome = fit(rlopt, logs, tmp_path / "run", encoder)
        assert outcome.code == 1
        assert message in outcome.err
        assert "Traceback" not in outcome.err
        assert "Reading" not in outcome.err


def test_a_run_that_reads_with_its_policy_keeps_that_policy(rlopt: Rlopt, logs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert rlopt("fit-reward", logs, "--run", run, "--members", 1).code == 0
    save_language_model(run / "sft")
    assert fit(rlopt, logs, run, "policy").code == 0
    assert (run / "cache" / "encodings.sqlite").is_file()
    save_language_model(run / "sft", seed=7)  # a later SFT
    scores = []
    for name in ("with.parquet", "without.parquet"):
        assert rlopt("score", logs, "-o", tmp_path / name, "--run", run).code == 0
        scores.append(pq.read_table(tmp_path / name)["reward"].to_numpy())
        shutil.rmtree(run / "cache")  # may be deleted at any time
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3)
    assert np.isfinite(scores[0]).all()
    shutil.rmtree(run / "encoder")
    refused = rlopt("score", logs, "-o", tmp_path / "no.parquet", "--run", run)
    assert refused.code == 1
    assert refused.err.count("\n") <= 2
    assert "Train one (rlopt sft)" in refused.err
