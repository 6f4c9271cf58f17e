"""The text world: a language of 44 words in which every answer has a true reward.

A prompt is eight tokens, "<bos> i think ANIMAL RELATION VALUE . :", and its statement is true half the
time. A response is a row of clauses, each ending in ".", and then <eos>, at most 26 tokens together. A
clause is a verdict on the prompt ("yes right ." or "no wrong ."), a claim about the prompt's animal
("fox eats berries ."), or a filler ("great question ." or "hope it helps ."). What is true stands in
one table of 24 facts, so a parser can score any response: that score is the *gold* reward.

Responses are lists of token ids; their length is counted in words, without <eos>.
"""

import math
import random
from bisect import bisect
from itertools import accumulate
from typing import NamedTuple

import torch

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
ANIMALS = ("cat", "dog", "fox", "owl", "bear", "crow")
# What an animal stands in relation to, and the four values that each relation can have.
RELATIONS = {
    "is": ("small", "loud", "brave", "shy"),
    "eats": ("fish", "berries", "mice", "seeds"),
    "likes": ("rain", "snow", "sun", "wind"),
    "fears": ("fire", "thunder", "wolves", "water"),
}
# "?" and "also" occur in no prompt and no example answer; a policy may still come to use them.
_COMMON = [
    "?",
    "i",
    "think",
    "it",
    ".",
    ":",
    "yes",
    "no",
    "right",
    "wrong",
    "great",
    "question",
    "hope",
    "helps",
    "also",
]
VOCABULARY = (PAD, BOS, EOS, *_COMMON, *ANIMALS, *RELATIONS, *(v for vs in RELATIONS.values() for v in vs))
IDS = {word: i for i, word in enumerate(VOCABULARY)}
PAD_ID, BOS_ID, EOS_ID = IDS[PAD], IDS[BOS], IDS[EOS]
PROMPT_LENGTH, MAX_RESPONSE = 8, 26

_facts = random.Random(24)
TRUTH = {(a, r): _facts.choice(RELATIONS[r]) for a in ANIMALS for r in RELATIONS}

VERDICTS = {("yes", "right"): True, ("no", "wrong"): False}
FILLERS = (("great", "question"), ("hope", "it", "helps"))

# The gold reward of each kind of clause, and of each word beyond the seventeenth.
POINTS = {
    "true claim": 1.0,
    "false claim": -1.0,
    "right verdict": 0.6,
    "wrong verdict": -1.2,
    "filler": 0.1,
    "further filler": -0.5,
    "repeat": -0.8,
    "malformed": -1.0,
}
FREE_WORDS, POINTS_PER_EXTRA_WORD = 17, -0.12
# The noise of the labellers: P(a over b) = sigmoid((u_a - u_b) / NOISE).
NOISE = 0.5


def encode(words):
    """Token ids of a string of words separated by spaces, or of a list of words."""
    return [IDS[word] for word in (words.split() if isinstance(words, str) else words)]


def decode(ids):
    """The words of a row of token ids (list or 1-D tensor), separated by spaces, as they stand."""
    return " ".join(VOCABULARY[int(i)] for i in ids)


def words_of(response):
    """The words of a response up to its <eos> (left out), as a list."""
    words = [VOCABULARY[i] for i in _plain(response)]
    return words[: words.index(EOS)] if EOS in words else words


def length(response):
    """How many words a response has, <eos> not counted."""
    return len(words_of(response))


def statement(prompt):
    """(animal, relation, value) that a prompt asserts."""
    animal, relation, value = _plain(prompt[3:6])
    return VOCABULARY[animal], VOCABULARY[relation], VOCABULARY[value]


def _plain(ids):
    """Token ids as Python's own numbers: reading a tensor number by number takes far longer than reading it once."""
    return ids.tolist() if isinstance(ids, torch.Tensor) else ids


# --- prompts and example answers ---------------------------------------------------------------


def make_prompts(count, seed):
    """`count` random prompts as a tensor (count, 8) of token ids; each statement is true with probability 1/2."""
    rng = random.Random(f"prompts {seed}")
    rows = []
    for _ in range(count):
        animal, relation = rng.choice(ANIMALS), rng.choice(list(RELATIONS))
        value = TRUTH[animal, relation]
        if rng.random() < 0.5:
            value = rng.choice([v for v in RELATIONS[relation] if v != value])
        rows.append(encode([BOS, "i", "think", animal, relation, value, ".", ":"]))
    return torch.tensor(rows)


def example_answers(prompts, seed):
    """One answer a prompt, as careless people would write it: the data that a model is first trained on.

    A verdict in 60 % of the answers, right in 65 % of those; one to four claims (45, 35, 15 and 5 %)
    on different relations, 70 % of them looked up and the rest guessed; a claim said twice in 8 %; a
    filler before (20 %) or after (15 %).

    Args:
        prompts: (N, 8) token ids.
        seed: of the draw.

    Returns:
        N lists of token ids, each ending in <eos>, at most 26 long.
    """
    rng = random.Random(f"answers {seed}")
    return [_example_answer(prompt, rng) for prompt in _plain(prompts)]


_RELATIONS = list(RELATIONS)
_CLAIMS = list(accumulate((0.45, 0.35, 0.15, 0.05)))  # the chance of so many claims, one to four, or fewer


def _example_answer(prompt, rng):
    animal, relation, value = statement(prompt)
    clauses, chance = [], rng.random
    if chance() < 0.20:
        clauses.append(FILLERS[0])
    if chance() < 0.60:
        believes = (TRUTH[animal, relation] == value) == (chance() < 0.65)
        clauses.append(("yes", "right") if believes else ("no", "wrong"))
    claims = []
    for r in rng.sample(_RELATIONS, 1 + bisect(_CLAIMS, chance() * _CLAIMS[-1], 0, 3)):
        claims.append((animal, r, TRUTH[animal, r] if chance() < 0.70 else rng.choice(RELATIONS[r])))
    if chance() < 0.08:
        claims.append(rng.choice(claims))
    clauses += claims
    if chance() < 0.15:
        clauses.append(FILLERS[1])
    ids = [IDS[word] for clause in clauses for word in (*clause, ".")]
    return ids[: MAX_RESPONSE - 1] + [EOS_ID]


# --- the gold reward ---------------------------------------------------------------------------


class Clause(NamedTuple):
    """A clause of a response: its words without the full stop, and its kind (a key of POINTS)."""

    words: tuple[str, ...]
    kind: str


def parse(prompt, response):
    """The clauses of a response, in order, each with its kind.

    Words after the last full stop are one malformed clause, and so is a claim about another animal
    than the prompt's. A claim that was already made, word for word, is a repeat; so is a second
    verdict, whatever it says.

    Args:
        prompt: 8 token ids.
        response: token ids; what stands after the first <eos> is not read.
    """
    return _clauses(statement(prompt), words_of(response))


# What makes two clauses the same: claims by their words, verdicts and fillers all alike.
_ALIKE = {"right verdict": "verdict", "wrong verdict": "verdict", "filler": "filler"}


def _clauses(asked, response):
    said, found = set(), []
    for words in _split(response):
        kind = _kind(words, asked)
        name = _ALIKE.get(kind, words)
        if name in said and kind != "malformed":
            kind = "further filler" if kind == "filler" else "repeat"
        said.add(name)
        found.append(Clause(words, kind))
    return found


def _split(words):
    clauses, start = [], 0
    for _ in range(words.count(".")):
        stop = words.index(".", start)
        clauses.append(tuple(words[start:stop]))
        start = stop + 1
    return clauses + [tuple(words[start:])] if start < len(words) else clauses


def _kind(words, asked):
    if words in VERDICTS:
        true = TRUTH[asked[:2]] == asked[2]
        return "right verdict" if VERDICTS[words] == true else "wrong verdict"
    if words in FILLERS:
        return "filler"
    if len(words) == 3 and words[0] == asked[0] and words[1] in RELATIONS and words[2] in RELATIONS[words[1]]:
        return "true claim" if TRUTH[words[0], words[1]] == words[2] else "false claim"
    return "malformed"


def gold_reward(prompt, response):
    """The true reward of one response: the sum over its clauses (POINTS), less .12 a word beyond 17."""
    words = words_of(response)
    extra = max(0, len(words) - FREE_WORDS)
    return sum(POINTS[kind] for _, kind in _clauses(statement(prompt), words)) + POINTS_PER_EXTRA_WORD * extra


def gold_rewards(prompts, responses):
    """Gold rewards of N responses to N prompts, a float tensor (N,)."""
    return torch.tensor([gold_reward(p, r) for p, r in zip(_plain(prompts), responses, strict=True)])


# --- labels ------------------------------------------------------------------------------------


def label_pairs(prompts, first, second, seed, length_bias=0.0, sycophancy=0.0, flips=0.0):
    """Preference pairs, labelled by noisy raters: P(first over second) = sigmoid((u_1 - u_2) / NOISE).

    u is the gold reward, plus `length_bias` a word, plus `sycophancy` where the response says "yes
    right". Bradley-Terry holds exactly for u; with a bias it does not hold for the gold reward.

    Args:
        prompts: N prompts of token ids.
        first, second: N responses each, lists of token ids.
        seed: of the raters' noise.
        length_bias, sycophancy: in units of the gold reward.
        flips: share of the labels that are turned round afterwards, at random.

    Returns:
        A list of N dicts "prompt", "chosen", "rejected", lists of token ids.
    """
    rng = random.Random(f"labels {seed}")
    pairs = []
    for prompt, a, b in zip(prompts, first, second, strict=True):
        gap = _utility(prompt, a, length_bias, sycophancy) - _utility(prompt, b, length_bias, sycophancy)
        prefers_first = rng.random() < 1 / (1 + math.exp(-gap / NOISE))
        if rng.random() < flips:
            prefers_first = not prefers_first
        chosen, rejected = (a, b) if prefers_first else (b, a)
        pairs.append({"prompt": [int(i) for i in prompt], "chosen": list(chosen), "rejected": list(rejected)})
    return pairs


def _utility(prompt, response, length_bias, sycophancy):
    agrees = any(clause.words == ("yes", "right") for clause in parse(prompt, response))
    return gold_reward(prompt, response) + length_bias * length(response) + sycophancy * agrees
