"""Encoders: from texts to vectors that know what words mean, by models trained on far more text than any log holds.

``minilm`` is a sentence encoder, ``smollm2`` a causal language model, ``policy`` the run's own one; any other name is
a folder or hub id for transformers. Several are joined by ``+``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Float32Array, HalfArray
from ..errors import ModelError
from .cache import EncodingCache

if TYPE_CHECKING:
    from .networks import Network

Progress = Callable[[int, int], None]

POLICY = "policy"
_IN_MEMORY = 20_000  # texts remembered by a running process
_SAVE_EVERY = 512  # texts encoded between two writes to the cache: what an interruption may lose


@dataclass(frozen=True)
class EncodingPart:
    """One kind of columns of an encoding.

    Parameters
    ----------
    name
        For example "smollm2, layer 18".
    width
        Number of columns.
    """

    name: str
    width: int


class Encoder:
    """One or several networks side by side; make one with `open_encoder`.

    Parameters
    ----------
    spec
        Names joined by ``+``, as the user gave them.
    networks
        The loaded networks, in that order.
    cache
        File that keeps encodings between processes; None: memory only.
    progress
        Called with the number of texts encoded and their total, where some must be.
    """

    def __init__(
        self,
        spec: str,
        networks: Sequence["Network"],
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.spec = spec
        self._networks = tuple(networks)
        self.fingerprint = "+".join(network.fingerprint for network in networks)
        self.parts: tuple[EncodingPart, ...] = tuple(
            EncodingPart(f"{network.name}{suffix}", width) for network in networks for suffix, width in network.parts
        )
        self._progress = progress
        self._form = _Kept(cache, self.fingerprint, self.width)
        self._about = _Kept(cache, f"{self.fingerprint} about", self.about_width)

    @property
    def width(self) -> int:
        """Number of columns of an encoding."""
        return sum(part.width for part in self.parts)

    @property
    def about_width(self) -> int:
        """Number of columns that `about` gives."""
        return sum(network.about.stop - network.about.start for network in self._networks)

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts, shape (n, width); each distinct text is encoded once.

        Values are rounded to half precision, so that a vector is the same whether it comes from the cache or not.
        """

        def run(part: Sequence[str]) -> None:
            vectors = [(network, network.encode(part)) for network in self._networks]
            self._form.put(part, [own[:, : network.form_width] for network, own in vectors])
            if self.about_width:
                self._about.put(part, [own[:, network.about] for network, own in vectors])

        return self._look_up(texts, self._form, self.width, run)

    def about(self, texts: Sequence[str]) -> Float32Array:
        """Encode the subject of texts, shape (n, about_width): rows of length one, near for texts of one subject.

        Only the networks that can tell are run. Where the same texts are encoded as well, encode them first: that
        gives both.
        """

        def run(part: Sequence[str]) -> None:
            able = [network for network in self._networks if network.about.stop]
            self._about.put(part, [network.encode(part)[:, network.about] for network in able])

        if not self.about_width:
            return np.zeros((len(texts), 0), dtype=np.float32)
        vectors = self._look_up(texts, self._about, self.about_width, run)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        out: Float32Array = vectors / np.maximum(length, np.float32(1e-6))
        return out

    def _look_up(
        self, texts: Sequence[str], kept: "_Kept", width: int, run: Callable[[Sequence[str]], None]
    ) -> Float32Array:
        """Vectors of the texts; ``run`` puts those that are missing where they are kept."""
        known = kept.get(dict.fromkeys(texts))
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        missing.sort(key=lambda text: (len(text), text))  # batches of similar length hold little padding
        for start in range(0, len(missing), _SAVE_EVERY):
            part = missing[start : start + _SAVE_EVERY]
            run(part)
            known |= kept.get(dict.fromkeys(part))
            if self._progress is not None:
                self._progress(start + len(part), len(missing))
        out = np.empty((len(texts), width), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row] = known[text]
        return out


class _Kept:
    """Vectors of one kind, in memory and on disk."""

    def __init__(self, cache: Path | None, fingerprint: str, width: int) -> None:
        self._memory: dict[str, HalfArray] = {}
        self._cache = None if cache is None else EncodingCache(cache, fingerprint, width)

    def get(self, texts: dict[str, None]) -> dict[str, HalfArray]:
        """Vectors of those texts that are kept."""
        known = {text: self._memory[text] for text in texts if text in self._memory}
        if self._cache is not None and len(known) < len(texts):
            found = self._cache.get([text for text in texts if text not in known])
            self._remember(found)
            known |= found
        return known

    def put(self, texts: Sequence[str], vectors: Sequence[Float32Array]) -> None:
        """Keep the vectors of these texts, parts of which are given side by side."""
        fresh = dict(zip(texts, _half(np.column_stack(vectors)), strict=True))
        self._remember(fresh)
        if self._cache is not None:
            self._cache.put(fresh.items())

    def _remember(self, vectors: dict[str, HalfArray]) -> None:
        self._memory |= vectors
        for text in list(self._memory)[: max(len(self._memory) - _IN_MEMORY, 0)]:  # the oldest
            del self._memory[text]


def _half(vectors: Float32Array) -> HalfArray:
    limit = float(np.finfo(np.float16).max)
    return np.clip(np.nan_to_num(vectors, nan=0.0, posinf=limit, neginf=-limit), -limit, limit).astype(np.float16)


def open_encoder(
    spec: str,
    *,
    policy: Path | None = None,
    cache: Path | None = None,
    fingerprint: str | None = None,
    progress: Progress | None = None,
) -> Encoder:
    """Load the encoders of ``spec``.

    Parameters
    ----------
    spec
        ``minilm``, ``smollm2``, ``policy``, a folder or a hub id; several joined by ``+``.
    policy
        Folder of the run's own language model, for ``policy``.
    cache
        File that keeps encodings between processes.
    fingerprint
        Fingerprint that the encoder must have: that of the one a model was fitted with.
    progress
        As for `Encoder`.

    Raises
    ------
    ModelError
        If one of them cannot be loaded, or is another than the model was fitted with.
    """
    from .networks import load_network  # torch and transformers: seconds, and only needed here

    names = [spec] if Path(spec).is_dir() else [name.strip() for name in spec.split("+")]
    if not all(names) or len(set(names)) < len(names):
        raise ModelError(
            f"--encoder takes one name, or different ones joined by '+', such as minilm+smollm2. Got {spec!r}."
        )
    networks = [load_network(name, policy if name == POLICY else None) for name in names]
    encoder = Encoder(spec, networks, cache, progress)
    if fingerprint is not None and encoder.fingerprint != fingerprint:
        raise ModelError(
            f"the encoder {spec!r} is not the one this model was fitted with (its weights differ). Put that one back, "
            "or run rlopt fit-reward again."
        )
    return encoder
