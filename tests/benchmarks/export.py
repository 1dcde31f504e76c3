"""Size, titles a second and quality of exported policies: in 8 bits, pruned, distilled into the tiny model, averaged.

    python tests/benchmarks/export.py                         # the tiny model; some minutes
    python tests/benchmarks/export.py --tables ensembles      # three SFT seeds alone and together
    python tests/benchmarks/export.py --tables smollm2        # SmolLM2-135M tuned with LoRA (extra [smollm2]); an hour

A small shop is simulated and the whole chain trained on it (or --run names a run of a simulated shop). Every row is one
``rlopt export``, measured on train items that nothing in it learned from, and tried in a process without rlopt: plain
transformers must load the folder and write with it. The row above each is the policy it came from, measured in turns
with it. Ensembles are measured on the test items, which no policy learned from; "nats" is the mean negative
log-probability of those of their logged titles that a slot mask lets them write.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

WAYS: dict[str, tuple[str, ...]] = {
    "int8": ("--quantize", "int8"),
    "half of the neurons": ("--prune", "0.5"),
    "a fifth of the neurons": ("--prune", "0.8"),
    "a fifth, recovered": ("--prune", "0.8", "--recover", "4"),
    "distilled into tiny": ("--distill-into", "tiny", "--titles", "16"),
}
LARGE_WAYS: dict[str, tuple[str, ...]] = {
    "int8": ("--quantize", "int8"),
    "nine tenths of the neurons": ("--prune", "0.1"),
    "distilled into tiny": ("--distill-into", "tiny", "--titles", "4", "--epochs", "8"),
}
MEASURE = ("--items", "120")
LARGE_MEASURE = ("--items", "60", "--samples", "2")
LORA = ("--model", "smollm2", "--learn", "lora", "--batch-size", "8", "--learning-rate", "5e-4")
PLAIN = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split('.')[0] in ('rlopt', 'reward', 'envs', 'trl'):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
ids = AutoTokenizer.from_pretrained(sys.argv[1])('<|title|>', return_tensors='pt').input_ids
assert model.generate(ids, max_new_tokens=8).shape[1] > ids.shape[1]
"""
IMPOSSIBLE = 1000.0  # nats: a slot that is closed takes ten thousand
HEADER = ("MB", "parameters", "titles/s", "reward", "faithful", "chrF", "KL")


def rlopt(*arguments: object) -> None:
    """One command, its progress on stderr."""
    subprocess.run([sys.executable, "-m", "rlopt", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def chain(folder: Path, locale: str) -> Path:
    """The run of a small shop with a tiny SFT and PPO policy."""
    run, logs, preset = folder / "run", folder / "logs.parquet", folder / "preset.yaml"
    preset.write_text("reward: {members: 2}\nsft: {steps: 300}\nppo: {steps: 60}\n", encoding="utf-8")
    rlopt("simulate", "-o", logs, "--items", 800, "--impressions", 2_000_000, "--locale", locale)
    rlopt("fit-reward", logs, "--config", preset, "--run", run)
    rlopt("ppo", "--run", run)
    return run


def export(run: Path, folder: Path, policy: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    """One export as its JSON object; the folder must load and write in plain transformers."""
    out = folder / "exported"
    shutil.rmtree(out, ignore_errors=True)
    command = ["-m", "rlopt", "export", "-o", str(out), "--run", str(run), "--policy", policy, "--json", *arguments]
    done = subprocess.run([sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True)
    subprocess.run([sys.executable, "-c", PLAIN, str(out)], check=True, cwd=folder, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def spread(value: dict[str, float] | None, scale: float, digits: int) -> str:
    """A mean with half the width of its 95% interval."""
    if value is None:
        return "-"
    return f"{scale * value['value']:.{digits}f}±{scale * (value['high'] - value['low']) / 2:.{digits}f}"


def line(name: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    cells = (
        f"{row['megabytes']:.2f}",
        f"{row['parameters']:,}",
        f"{row['titles_per_second']:.1f}",
        spread(row["reward"], 1, 4),
        spread(row["faithfulness"], 100, 1),
        spread(row["chrf"], 100, 1),
        "-" if row["kl"] is None else f"{row['kl']['value']:.3f}",
    )
    return f"{name:28}" + "".join(f"{cell:>15}" for cell in cells)


def table(run: Path, folder: Path, policy: str, ways: dict[str, tuple[str, ...]], measure: tuple[str, ...]) -> None:
    """Every way of exporting ``policy``, each beside the policy as it was measured in the same call."""
    print(f"{policy:28}" + "".join(f"{name:>15}" for name in HEADER), flush=True)
    for name, arguments in ways.items():
        found = export(run, folder, policy, (*arguments, *measure))
        print(line("  as trained", found["before"]))
        print(line(name, found["after"]), flush=True)


def ensembles(run: Path, folder: Path) -> None:
    """Three SFT policies that differ in their seed: alone, and as one policy in three ways."""
    import numpy as np
    import torch

    from reward.features.lexicon import Lexicon
    from reward.model.reward_model import RewardModel
    from rlopt.config import ExportConfig
    from rlopt.policy.compress import average_weights
    from rlopt.policy.ensemble import ensemble
    from rlopt.policy.pretrained import quiet_loading
    from rlopt.policy.text_metrics import bootstrap_mean, item_draws
    from rlopt.policy.title_policy import TitlePolicy
    from rlopt.progress import track
    from rlopt.run import Run
    from rlopt.stages.common.titles import write_titles
    from rlopt.stages.export.quality import about_titles, speeds

    torch.set_num_threads(1)
    quiet_loading()
    folders = []
    for seed in range(3):
        copy = folder / f"seed-{seed}"
        shutil.copytree(run, copy)
        rlopt("sft", "--run", copy, "--seed", seed)
        folders.append(copy / "sft")
    seeds = [TitlePolicy.load(one) for one in folders]
    soup = [TitlePolicy.load(one) for one in folders]
    average_weights([one.model for one in soup])
    rows = {f"seed {k}": policy for k, policy in enumerate(seeds)}
    rows["mean of distributions"] = ensemble(seeds, folders, "tokens")
    rows["titles ranked by all"] = ensemble(seeds, folders, "titles")
    rows["mean of weights"] = soup[0]

    opened = Run.open(run)
    arms, splits, config = opened.arms(), opened.splits(), ExportConfig()
    train, test = arms.of_items(splits.train), arms.of_items(splits.test)
    lexicon = Lexicon.learn(zip(train.arm_items, map(str, train.title), strict=True))
    model, draws = RewardModel.load(run / "reward"), item_draws(len(test.items), 1000, 0)
    speed = speeds(list(rows.values()), test.items, 0)
    header = ("nats", "titles/s", "reward", "faithful", "chrF")
    print(f"{'SFT, three seeds':28}" + "".join(f"{name:>15}" for name in header), flush=True)
    for (name, policy), per_second in zip(rows.items(), speed, strict=True):
        cache = folder / f"{name}.jsonl"
        with track(name, len(test.items) * config.samples) as bar:
            written = write_titles(
                "x", policy, test.items, config.samples, temperature=1.0, seed=0, cache=cache, bar=bar
            )
        nats = -policy.log_prob(test.arm_items, [str(title) for title in test.title])
        nats[nats > IMPOSSIBLE] = np.nan
        cells = [spread(asdict(bootstrap_mean(nats, test.item_index, draws)), 1, 2), f"{per_second:.1f}"]
        for (_, values), (scale, digits) in zip(
            about_titles(written, test, model, lexicon).items(), ((1, 4), (100, 1), (100, 1)), strict=True
        ):
            assert values is not None
            cells.append(spread(asdict(bootstrap_mean(values, written.item, draws)), scale, digits))
        print(f"{name:28}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run (fit-reward, sft, ppo)")
    parser.add_argument("--locale", choices=("en", "zh"), default="en")
    parser.add_argument("--tables", nargs="+", choices=("tiny", "ensembles", "smollm2"), default=["tiny"])
    parser.add_argument("--lora-steps", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = arguments.run or chain(folder, arguments.locale)
        if "tiny" in arguments.tables:
            table(run, folder, "ppo", {**WAYS, "averaged with SFT": ("--average", str(run / "sft"))}, MEASURE)
        if "ensembles" in arguments.tables:
            ensembles(run, folder)
        if "smollm2" in arguments.tables:
            large = folder / "large"
            shutil.copytree(run, large)
            rlopt("sft", *LORA, "--steps", arguments.lora_steps, "--run", large)
            table(large, folder, "sft", LARGE_WAYS, LARGE_MEASURE)


if __name__ == "__main__":
    main()
