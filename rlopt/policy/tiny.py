"""The embedded policy: a small Llama-architecture model and a tokenizer, both from the user's own titles.

It needs no download and learns to write titles in a minute or two on two CPU cores. Plain transformers load it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from .prompt import PROMPT_END
from .slots import Slots

MIN_PIECE_SHARE = 1 / 2000
PAD, EOS, UNK = "<|pad|>", "<|end|>", "<|unknown|>"


def build_tokenizer(
    texts: Iterable[str], slots: Slots, vocab_size: int = 1000, marks: Sequence[str] = (PROMPT_END,)
) -> PreTrainedTokenizerFast:
    """BPE tokenizer of a slot policy, trained on ``texts`` (delexicalised titles).

    Slots are ordinary added tokens, not special ones, so that decoding with ``skip_special_tokens=True`` keeps them.
    Prompts hold slots, their kinds and ``marks`` only, each one token; no piece of a name is ever a piece of a title.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    # Blanks become part of the following piece and come back exactly; punctuation never merges with words.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    # A slot after a blank is one token, not two: titles get a third shorter.
    spellings = [spelling for token in slots.vocabulary for spelling in (token, " " + token)]
    spellings += slots.prompt_vocabulary
    slot_tokens = [AddedToken(spelling, special=False, normalized=False) for spelling in spellings]
    tokenizer.add_tokens(slot_tokens)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=[PAD, EOS, UNK, *marks], show_progress=False
    )
    tokenizer.train_from_iterator(map(slots.without_slots, texts), trainer)
    tokenizer.add_tokens(slot_tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        extra_special_tokens=list(marks),
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def common_pieces(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> frozenset[str]:
    """The tokens that titles are made of; one in fewer than a two-thousandth of ``texts`` is a slip, or not learned."""
    ids: list[list[int]] = tokenizer(list(texts))["input_ids"]
    count = Counter(token for title in ids for token in set(title))
    common = [token for token, n in count.items() if n >= MIN_PIECE_SHARE * len(ids)]
    return frozenset(tokenizer.convert_ids_to_tokens(common))


def build_model(
    tokenizer: PreTrainedTokenizerFast, seed: int, hidden_size: int = 128, layers: int = 3, heads: int = 4
) -> LlamaForCausalLM:
    """Untrained Llama-architecture model for ``tokenizer``; same seed, same weights."""
    set_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True, max_new_tokens=48
    )
    return model
