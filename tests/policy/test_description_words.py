"""Words of a description in the tiny policy's prompt: those that titles use because the description does."""

from reward.items import Item
from rlopt.policy.description_words import MAX_KEYWORDS, MAX_TOLD, keywords_in, learn_keywords
from rlopt.policy.slots import Slots

FABRICS = ("silk", "cotton", "linen", "wool")
LONG = "A dress with long sleeves and a lining that is made to be worn on many occasions, in"


def shop() -> list[tuple[str, str]]:
    return [(f"{LONG} {FABRICS[i % 4]}", f"new {FABRICS[i % 4]} dress with charm") for i in range(40)]


def test_words_that_depend_on_the_text_are_learned_and_others_are_not() -> None:
    assert learn_keywords(shop()) == tuple(sorted(FABRICS))  # dress and with stand everywhere, new and charm nowhere


def test_words_that_titles_say_against_the_text_are_no_keywords() -> None:
    pairs = [(f"{LONG} {FABRICS[i % 4]}", f"new {FABRICS[(i + 1) % 4]} dress") for i in range(40)]
    assert learn_keywords(pairs) == ()


def test_chinese_words_are_pairs_of_characters() -> None:
    pairs = [(f"这条裙子采用{('纯棉', '真丝')[i % 2]}面料", f"新款{('纯棉', '真丝')[i % 2]}裙子") for i in range(20)]
    found = learn_keywords(pairs)
    assert {"纯棉", "真丝"} <= set(found)
    assert all(len(word) == 2 for word in found)


def test_rare_words_and_too_many_are_left_out() -> None:
    assert learn_keywords([("about silk", "silk"), *[("about", "dress")] * 20]) == ()
    many = [
        (f"word{'abcdefghij'[i % 10]}{'abcdefghij'[i // 10 % 10]}{'abcdefghij'[i // 100]}",) * 2 for i in range(1000)
    ]
    assert len(learn_keywords(many * 5)) == MAX_KEYWORDS
    assert learn_keywords([]) == ()


def test_the_first_words_of_a_text_are_told_each_once() -> None:
    known = frozenset(f"w{chr(97 + i)}" for i in range(26))
    text = " ".join(sorted(known) * 2)
    assert keywords_in(f"Hello wc, wb; wc <b>wa</b> {'x' * 10_000} wd", known) == ["wc", "wb", "wa"]
    assert len(keywords_in(text, known)) == MAX_TOLD


def test_the_prompt_tells_them_and_no_title_can_say_their_tokens() -> None:
    items = [Item(str(i), {"color": ("red",), "about": (f"{LONG} {FABRICS[i % 4]}",)}) for i in range(20)]
    slots = Slots(Slots.learn(items).tokens, {}, keywords=("cotton", "silk"))
    assert slots.describe(items[0]) == "<color><#1>"
    assert slots.describe(items[1]) == "<color><#0>"
    assert slots.describe(items[2]) == "<color>"
    assert slots.describe(Item("x", {"about": ("<#1> <color>",)})) == ""
    assert slots.without_tokens("a <#1> b") == "a b"
    assert slots.delexicalise(items[0], "a <#1> red <color> <#7>") == "a < #1> <color> < color> <#7>"
    assert Slots.from_dict(slots.to_dict()) == slots
