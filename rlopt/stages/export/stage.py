"""``rlopt export``: a policy made smaller, or several merged into one, as a folder that plain transformers loads."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reward.arms import Arms
from reward.items import Item
from reward.plain import JsonObject, Plain
from reward.saved import read_json
from rlopt import processes
from rlopt.config import ExportConfig
from rlopt.errors import ConfigError, PolicyError, RunError
from rlopt.files import (
    atomic_write,
    disk_errors,
    fingerprint,
    is_leftover,
    own_folder,
    recover_folders,
    refuse_in_run,
    remove,
    replacing_folders,
    to_json,
)
from rlopt.lock import locked
from rlopt.policy.compress import average_weights, is_quantised, load_quantised, prune_neurons
from rlopt.policy.ensemble import check_alike
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note
from rlopt.report.cards import export_card
from rlopt.run import Run, package_versions
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.policies import load_policy, policy_folder
from rlopt.stages.export.learn import distilled, learned, teacher_pairs
from rlopt.stages.export.quality import Measured, items_to_measure_on, measure

WAYS = ("quantize", "prune", "distill_into", "average")
LEARNING = {"titles", "epochs", "recover", "batch_size", "learning_rate"}
UNUSED = {"quantize": LEARNING, "average": LEARNING, "prune": {"epochs"}, "distill_into": {"recover"}}
PRUNING_TITLES = 256  # of the logs, on which neurons are measured
RECOVERY_RATE = 0.1  # of the learning rate: a pruned model begins near where it shall end
RECORD = "export.json"  # marks a folder as one that export wrote, and may write again
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Made:
    """A policy that is to be written.

    Parameters
    ----------
    name
        Its row in the table.
    how
        One or two sentences for the card.
    needs
        Package without which the folder does not load.
    """

    policy: TitlePolicy
    name: str
    how: str
    needs: str | None = None


@dataclass(frozen=True)
class ExportResult(Plain):
    """Exported policy, and both policies measured on ``items`` train items that the export did not learn from."""

    folder: Path
    how: str
    items: int
    before: Measured
    after: Measured


def export(run: Run, out: str | Path, config: ExportConfig) -> ExportResult:
    """Write the policy folder ``out`` and compare it with the original policy.

    Nothing in the run changes. ``.NAME.parts`` next to ``out`` keeps slow parts (titles of a teacher, training) until
    the folder is complete; after an interruption the same call resumes.

    Raises
    ------
    ConfigError
        If not exactly one of quantize, prune, distill_into and average is given.
    StageOrderError
        If the run lacks the policy.
    PolicyError
        If a policy cannot be read or made smaller in this way.
    RunError
        If ``out`` is no place for it, or another process is writing it.
    """
    _check_way(config)
    opened = OpenedRun(run)
    source = policy_folder(run, config.policy)
    out = _check_place(Path(out), source)
    measured = items_to_measure_on(run, opened.train_arms, config)
    with _workplace(out, _key(run, source, config)) as work:
        made = _make(source, _to_learn_from(opened.train_arms, measured), config, work)
        with replacing_folders(out.parent, [out.name], scratch=work.parent) as fresh:
            folder = fresh[out.name]
            made.policy.save(folder)
            # measures the policy as written
            before, after = measure(opened, measured, [(source.name, source), (made.name, folder)], config, work)
            result = ExportResult(out, made.how, len(measured.items), before, after)
            _describe(folder, made, result, config)
    return result


def _check_way(config: ExportConfig) -> None:
    given = [name for name in WAYS if getattr(config, name)]
    if len(given) != 1:
        flags = ", ".join("--" + name.replace("_", "-") for name in WAYS)
        raise ConfigError(
            f"export needs exactly one of {flags}. Got {len(given)}: to combine them, export an exported folder "
            "(--policy FOLDER)."
        )
    unused = sorted(config.model_fields_set & UNUSED[given[0]])
    if unused:
        flags = ", ".join("--" + name.replace("_", "-") for name in unused)
        note(f"These options have no effect on --{given[0].replace('_', '-')}: {flags}")
    if processes.count() > 1:
        raise RunError("export runs in one process. Start it without accelerate launch.")


def _check_place(out: Path, source: Path) -> Path:
    """``out``, where it is new, empty, or holds what export wrote and nothing else; outside of any run.

    Raises
    ------
    RunError
        If it is anything else. A folder with files of the user's is refused: to replace it would lose them, and to
        keep them would mix them with a model's.
    """
    refuse_in_run(out)
    if out.is_symlink():
        raise RunError(f"{out} is a link, and links are not followed here. Remove it, or choose another folder.")
    if out.resolve() == source.resolve():
        raise RunError(f"{out} is the policy to be exported. Choose another folder.")
    if not out.exists():
        return out
    if not out.is_dir():
        raise RunError(f"{out} is a file. Choose a new folder.")
    names = {entry.name for entry in out.iterdir()}
    if names and RECORD not in names:
        raise RunError(f"{out} exists and was not written by export. Choose a new folder.")
    if strangers := sorted(names - _written_names(out / RECORD)) if names else []:
        raise RunError(
            f"{out} holds {strangers[0]!r}, which export did not write. Move it away, or choose a new folder."
        )
    return out


def _written_names(record: Path) -> set[str]:
    """Names of the files that the export with this record left in its folder."""
    content = read_json(record, JsonObject, "Choose a new folder.")
    names = content.get("files")
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else {RECORD}


def _to_learn_from(train: Arms, measured: Arms) -> Arms:
    return train.of_items({item.item_id for item in train.items} - {item.item_id for item in measured.items})


@contextmanager
def _workplace(out: Path, key: str) -> Iterator[Path]:
    """``.NAME.parts/KEY`` beside ``out``, locked; it stays only where the block fails and has left something in it."""
    folder = out.with_name(f".{out.name}.parts")
    work = folder / key
    own_folder(folder, _is_ours)
    with disk_errors(folder), locked(folder, f"the command that writes {out.name}"):
        recover_folders(out.parent, scratch=folder)
        for other in folder.iterdir():
            if _KEY.fullmatch(other.name) and other != work:
                remove(other)
        work.mkdir(exist_ok=True)
        try:
            yield work
        except BaseException:
            if not any(work.iterdir()):
                remove(folder)
            raise
        remove(folder)


def _is_ours(name: str) -> bool:
    return bool(_KEY.fullmatch(name)) or is_leftover(name)


def _key(run: Run, source: Path, config: ExportConfig) -> str:
    """Key of an export; work begun with another key belongs to another policy, other settings or other logs."""
    basis = {
        "config": config.model_dump(mode="json"),
        "policy": fingerprint(source),
        "average": [fingerprint(Path(folder)) for folder in config.average],
        "logs": run.record("fit-reward")["key"],
        "versions": package_versions(),
    }
    return hashlib.blake2b(json.dumps(basis, sort_keys=True).encode(), digest_size=16).hexdigest()


def _make(source: Path, train: Arms, config: ExportConfig, work: Path) -> Made:
    policy = load_policy(source)
    if is_quantised(policy.model) and not config.distill_into:
        raise PolicyError(f"{source} is quantised: it can only be distilled. Export the policy it came from.")
    if policy.prefix is not None and not config.distill_into:
        raise PolicyError(f"{source} reads a learned prefix beside its weights: it can only be distilled.")
    if config.quantize:
        return _quantised(source, policy, config.quantize)
    if config.prune:
        return _pruned(source, policy, train, config, work)
    if config.average:
        return _averaged(source, policy, config.average)
    return _distilled(source, policy, train, config, work)


def _quantised(source: Path, policy: TitlePolicy, kind: str) -> Made:
    model = load_quantised(source, kind)
    small = TitlePolicy(model, policy.tokenizer, policy.renderer, policy.max_title_tokens)
    bits, package = (8, "torchao") if kind == "int8" else (4, "bitsandbytes")
    how = f"{source.name} with the weights of its linear layers in {bits} bits; embeddings and norms as they were."
    return Made(small, f"{source.name} {kind}", f"{how} Loading it needs the package {package}.", package)


def _pruned(source: Path, policy: TitlePolicy, train: Arms, config: ExportConfig, work: Path) -> Made:
    pairs = teacher_pairs(policy, train.items, config, work) if config.recover else []
    width = getattr(policy.model.config, "intermediate_size", None)
    prune_neurons(policy, float(config.prune or 0), _spread(train.pairs, PRUNING_TITLES))
    left = policy.model.config.intermediate_size
    how = f"{source.name} with {left} of {width} neurons in each MLP, those that add most on titles of the logs."
    if pairs:
        lessons = learned(policy, pairs, config.recover, config, work, RECOVERY_RATE)
        policy = lessons.policy
        how += f" Then {lessons.steps} steps of fine-tuning on {lessons.titles} titles that it had written before."
    return Made(policy, f"{source.name} pruned", how)


def _spread(pairs: Sequence[tuple[Item, str]], n: int) -> Sequence[tuple[Item, str]]:
    """At most ``n`` of the pairs, evenly spread."""
    return pairs[:: -(-len(pairs) // n)]


def _averaged(source: Path, policy: TitlePolicy, folders: tuple[str, ...]) -> Made:
    others = [load_policy(folder) for folder in folders]
    if any(is_quantised(other.model) or other.prefix is not None for other in others):
        raise PolicyError("Policies that are quantised, or read a learned prefix, have no average.")
    check_alike([policy, *others], [source, *folders])
    average_weights([policy.model, *(other.model for other in others)])
    how = f"The mean of the weights of {len(folders) + 1} policies: {source.name}, {', '.join(map(_last, folders))}."
    return Made(policy, f"average of {len(folders) + 1}", how)


def _distilled(source: Path, policy: TitlePolicy, train: Arms, config: ExportConfig, work: Path) -> Made:
    lessons = distilled(policy, train.items, config, work)
    how = (
        f"A tiny model that learned {lessons.titles} titles, which {source.name} wrote for {len(train.items)} train "
        f"items, in {lessons.steps} steps (sequence-level distillation)."
    )
    return Made(lessons.policy, f"{source.name} distilled", how)


def _describe(folder: Path, made: Made, result: ExportResult, config: ExportConfig) -> None:
    """The model card, and the same for programs."""
    card = export_card(
        how=made.how,
        parameters=result.after.parameters,
        before=_figures(result.before),
        after=_figures(result.after),
        n_items=result.items,
        settings=config.model_dump(mode="json"),
        versions=package_versions(),
        slots=isinstance(made.policy.renderer, SlotRenderer),
        needs=made.needs,
    )
    atomic_write(folder / "README.md", card)
    values = {k: v for k, v in result.to_dict().items() if k != "folder"}
    files = sorted({RECORD, *(entry.name for entry in folder.iterdir())})
    record = {**values, "config": config.model_dump(mode="json"), "files": files}
    atomic_write(folder / RECORD, to_json(record, indent=1) + "\n")


def _figures(row: Measured) -> dict[str, float | int | None]:
    return {
        "weights on disk, MB": row.megabytes,
        "parameters": row.parameters,
        "titles a second": row.titles_per_second,
        "predicted reward": row.reward.value,
        "faithfulness": row.faithfulness.value if row.faithfulness else None,
        "chrF to the nearest logged title": row.chrf.value,
        "KL from the original, nats per title": row.kl.value if row.kl else None,
    }


def _last(folder: str) -> str:
    return Path(folder).name
