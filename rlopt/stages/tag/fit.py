"""``rlopt tag fit``: the tagger that shortens titles, learned from tagged entities or from short titles."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reward.logs.source import find_files
from reward.logs.sources.local import LocalSource, Source, local
from reward.plain import Plain
from reward.text import same_text_key
from rlopt import processes
from rlopt.config import TagConfig
from rlopt.errors import ConfigError
from rlopt.files import fingerprint, replacing_folders
from rlopt.policy.pretrained import quiet_loading
from rlopt.progress import note, track
from rlopt.report.cards import tagger_card
from rlopt.run import Run, package_versions
from rlopt.stages.common.policies import compute_with
from rlopt.stages.common.trainings import steps_done
from rlopt.stages.tag.data import Corpus, Labelled, read_corpus, read_titles
from rlopt.tagging.learn import learn_labels, learn_words
from rlopt.tagging.metrics import ALL, Kept, Scores, entity_scores, kept_scores
from rlopt.tagging.shorten import Limits
from rlopt.tagging.spans import Units
from rlopt.tagging.tagger import Tagger, check_pretrained, load_pretrained, short_title
from rlopt.tagging.tiny import build_tagger
from rlopt.training.arguments import TrainSettings, train_settings
from rlopt.training.callbacks import JsonLines

TINY_RATE, PRETRAINED_RATE = 1e-3, 5e-5  # learning rates
WORDS_RATE = 2.0  # learning rate of pretraining, relative to that of the labels


@dataclass(frozen=True)
class TagResult(Plain):
    """Quality of the tagger, measured on unseen titles.

    Parameters
    ----------
    titles, held_out
        Labelled titles it learned from, and was measured on.
    left_out
        Reason -> rows that nothing was learned from.
    entities
        Kind, and "all" -> precision, recall and F1 of whole entities.
    shortened
        Figures of short titles of at most ``max_chars`` characters.
    """

    folder: Path
    parameters: int
    titles: int
    held_out: int
    left_out: dict[str, int]
    kinds: tuple[str, ...]
    required: str | None
    entities: dict[str, Scores]
    max_chars: int
    shortened: Kept


def fit_tagger(
    run: Run, titles_file: Source, config: TagConfig | None = None, *, unlabelled: Sequence[Source] = ()
) -> TagResult:
    """Learn which words of a title name what (product, brand ...); writes ``tag/`` of the run.

    Parameters
    ----------
    run
        Any run directory; no other stage is needed.
    titles_file
        Parquet, CSV or JSONL with long titles, and tagged entities or short titles; a table in memory, or what else
        `reward.logs.sources.local` takes.
    unlabelled
        More titles, for the tiny model's pretraining.

    Raises
    ------
    LogError, RunError, ConfigError
        If a file cannot be read, lacks a column, or holds entities of another form.
    PolicyError
        If too few titles are usable, or ``config.model`` cannot be loaded.
    """
    config = config or TagConfig()
    if config.model is not None and unlabelled:
        raise ConfigError(
            f"--unlabelled teaches the tiny encoder words, and {config.model} knows them. Leave one of the two out."
        )
    with contextlib.ExitStack() as stack:
        here, *more = (stack.enter_context(local(source)) for source in (titles_file, *unlabelled))
        return _fit(run, here, config, more)


def _fit(run: Run, titles_file: LocalSource, config: TagConfig, unlabelled: Sequence[LocalSource]) -> TagResult:
    inputs = {str(n): fingerprint(path) for n, path in enumerate(_files(titles_file, *unlabelled))}
    quiet_loading()
    if config.model is not None:
        check_pretrained(config.model)
    corpus = read_corpus(titles_file, config)
    known = _known_titles(corpus, read_titles(unlabelled, config.title))
    with run.stage("tag", config, inputs) as record:
        checkpoints = record.checkpoints
        untrained = _once(checkpoints / "untrained", lambda: _untrained(config, corpus, known))
        compute_with(untrained.model)
        start = _once(checkpoints / "start", lambda: _with_words(run, config, untrained, known, checkpoints / "words"))
        tagger = _with_labels(run, config, start, corpus.train, checkpoints / "labels")
        result = _measured(run / "tag", tagger, corpus, config.max_chars)
        if processes.is_first():
            _save(run, config, tagger, result)
        record.notes.update(parameters=result.parameters, f1=result.entities[ALL].f1)
    processes.wait()
    return result


def _files(*sources: LocalSource) -> list[Path]:
    return [path for source in sources for path in find_files(source)]


def _untrained(config: TagConfig, corpus: Corpus, titles: Sequence[Units]) -> Tagger:
    """A pretrained encoder, or the tiny one with a tokenizer from these titles."""
    if config.model is None:
        return build_tagger(titles, corpus.kinds, corpus.required, config.seed)
    model, tokenizer = load_pretrained(config.model, corpus.kinds)
    return Tagger(model, tokenizer, corpus.kinds, corpus.required)


def _with_words(run: Run, config: TagConfig, tagger: Tagger, titles: Sequence[Units], folder: Path) -> Tagger:
    """The tiny tagger after learning words; a pretrained encoder knows them."""
    if config.model is not None or not config.pretraining_epochs:
        return tagger
    settings = _settings(config, tagger, len(titles), config.pretraining_epochs)
    settings = replace(settings, learning_rate=WORDS_RATE * settings.learning_rate)
    note(f"Learning words from {len(titles):,} titles")
    metrics = run.metrics("tag-words")
    with track("tag-words", settings.steps, start=steps_done(metrics, folder)) as bar:
        learn_words(tagger, titles, settings, folder, [JsonLines(metrics, bar, {"loss": "loss"})])
    return tagger


def _with_labels(run: Run, config: TagConfig, tagger: Tagger, examples: Sequence[Labelled], folder: Path) -> Tagger:
    settings = _settings(config, tagger, len(examples), config.epochs)
    note(f"Learning labels from {len(examples):,} titles, {tagger.model.num_parameters() / 1e6:.1f} M parameters")
    metrics = run.metrics("tag")
    with track("tag", settings.steps, start=steps_done(metrics, folder)) as bar:
        labelled = [(row.title, row.spans) for row in examples]
        callbacks = [JsonLines(metrics, bar, {"loss": "loss"})]
        return learn_labels(tagger, labelled, settings, folder, callbacks, exchange=tagger.required is not None)


def _known_titles(corpus: Corpus, more: Sequence[Units]) -> list[Units]:
    """All titles that may be learned from: none that the tagger is measured on."""
    hidden = {same_text_key(row.title.text) for row in corpus.held_out}
    titles = [*(row.title for row in corpus.train), *more]
    by_key = {same_text_key(title.text): title for title in titles if len(title)}
    return [title for key, title in by_key.items() if key not in hidden]


def _once(folder: Path, make: Callable[[], Tagger]) -> Tagger:
    """Return what ``make`` makes; an interrupted run loads what it had made."""
    if folder.exists():
        return Tagger.load(folder)
    tagger = make()
    if processes.is_first():
        with replacing_folders(folder.parent, [folder.name]) as fresh:  # whole or not there
            tagger.save(fresh[folder.name])
    return tagger


def _settings(config: TagConfig, tagger: Tagger, n_titles: int, epochs: float) -> TrainSettings:
    return train_settings(
        tagger.model,
        steps=max(1, round(epochs * n_titles / config.batch_size)),
        batch_size=config.batch_size,
        learning_rate=config.learning_rate or (TINY_RATE if config.model is None else PRETRAINED_RATE),
        save_every=config.save_every,
        seed=config.seed,
    )


def _measured(folder: Path, tagger: Tagger, corpus: Corpus, max_chars: int) -> TagResult:
    """The tagger on the held-out titles."""
    titles = [row.title for row in corpus.held_out]
    truth = [row.spans for row in corpus.held_out]
    readings = tagger.readings(titles)
    found = [spans for spans, _ in readings]
    limits = Limits(chars=max_chars)
    short = [short_title(tagger, title, *both, limits) for title, both in zip(titles, readings, strict=True)]
    return TagResult(
        folder,
        tagger.model.num_parameters(),
        len(corpus.train),
        len(titles),
        corpus.left_out,
        tagger.kinds,
        tagger.required,
        entity_scores(truth, found),
        max_chars,
        kept_scores(titles, truth, short, limits, tagger.required),
    )


def _save(run: Run, config: TagConfig, tagger: Tagger, result: TagResult) -> None:
    """The tagger's folder with its card."""
    figures = {f"F1, {kind}": f"{100 * scores.f1:.1f}%" for kind, scores in result.entities.items()}
    if result.shortened.keeps_required is not None:
        name = f"titles of at most {result.max_chars} characters that keep a {result.required}"
        figures[name] = f"{100 * result.shortened.keeps_required:.1f}%"
    with run.replacing("tag") as folder:
        tagger.save(folder)
        card = tagger_card(
            base_model=config.model,
            parameters=result.parameters,
            titles=result.titles,
            held_out=result.held_out,
            figures=figures,
            settings=config.model_dump(mode="json"),
            versions=package_versions(),
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
