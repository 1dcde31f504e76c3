"""The embedded tagger: a small BERT-architecture encoder and a tokenizer, both from the user's own titles.

Its positions are rotary (RoFormer; Su et al. 2021), which a few thousand titles suffice to learn from: BERT's absolute
ones must learn again at every place what a neighbour is.
"""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, processors, trainers
from transformers import PreTrainedTokenizerFast, RoFormerConfig, RoFormerForTokenClassification, set_seed

from .spans import Units, unit_splitter
from .tagger import WINDOW, Tagger, label_settings

PAD, UNK, MASK, CLS, SEP = "[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]"
MIN_COUNT = 2  # rarer characters are unknown, so that the model learns what to make of unknown ones
WORD_PIECES = 3000


def build_tokenizer(titles: Sequence[Units]) -> PreTrainedTokenizerFast:
    """BPE tokenizer: a CJK character is a token, Latin words are pieces; trained on ``titles``.

    The library's WordPiece trainer numbers its pieces in the order of a hash table: another vocabulary each time.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = unit_splitter()
    counts = Counter("".join(tokenizer.normalizer.normalize_str(title.text) for title in titles))
    known = sorted(c for c, count in counts.items() if count >= MIN_COUNT and not c.isspace())
    trainer = trainers.BpeTrainer(
        vocab_size=len(known) + WORD_PIECES,
        min_frequency=MIN_COUNT,
        initial_alphabet=known,  # a limit alone would choose among equally rare characters by chance
        limit_alphabet=len(known),
        special_tokens=[PAD, UNK, MASK, CLS, SEP],
        show_progress=False,
    )
    tokenizer.train_from_iterator((title.text for title in titles), trainer)
    special = [(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        mask_token=MASK,
        cls_token=CLS,
        sep_token=SEP,
        clean_up_tokenization_spaces=False,
    )


def build_tagger(
    titles: Sequence[Units],
    kinds: Sequence[str],
    required: str | None,
    seed: int,
    hidden_size: int = 128,
    layers: int = 3,
    heads: int = 4,
    dropout: float = 0.2,
) -> Tagger:
    """Untrained tagger with a tokenizer from ``titles``; same seed, same weights."""
    tokenizer = build_tokenizer(titles)
    set_seed(seed)
    config = RoFormerConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=2 * WINDOW,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout / 2,
        pad_token_id=tokenizer.pad_token_id,
        **label_settings(kinds),
    )
    return Tagger(RoFormerForTokenClassification(config), tokenizer, tuple(kinds), required)
