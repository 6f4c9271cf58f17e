"""06-final-quiz: bugs 17 and 18, in sampling and its random numbers."""

import random

import numpy as np
import torch

from course_utils.checks.beside import beside, ours
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug, guarded
from course_utils.checks.observe import quietly
from course_utils.checks.scripts.streams import rounds_of

# --- bug-17: sorted, and not sorted back ------------------------------------------------------------


def nucleus(logits, p, temperature=1.0):
    """The probabilities that top-p sampling draws from: (B, V), in the order of the vocabulary.

    logits: (B, V), no ties. Softmax of logits / temperature; the smallest set of most likely tokens whose
    probabilities sum to at least p (0 < p <= 1) is kept, all others get 0; what is kept is scaled to sum to 1.
    """
    probs, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
    kept = probs * (probs.cumsum(-1) - probs < p)
    return torch.zeros_like(kept).scatter(-1, order, kept / kept.sum(-1, keepdim=True))


def _nucleus(keep, back=None, scaled=True, warm=True):
    """A variant: keep(sorted probs, p); back(kept, order); scaled or not."""

    def answer(logits, p, temperature=1.0):
        probs, order = torch.softmax(logits / (temperature if warm else 1.0), -1).sort(-1, descending=True)
        kept = probs * keep(probs, p)
        kept = kept / kept.sum(-1, keepdim=True) if scaled else kept
        return back(kept, order) if back else torch.zeros_like(kept).scatter(-1, order, kept)

    return answer


def _crossing(probs, p):
    return probs.cumsum(-1) - probs < p


def _nucleus_cold_last(logits, p, temperature=1.0):
    """Chosen at temperature 1, sharpened afterwards."""
    kept = nucleus(logits, p)
    return torch.softmax((logits / temperature).masked_fill(kept == 0, float("-inf")), dim=-1)


def _nucleus_first_row(logits, p, temperature=1.0):
    """The order of the first row for all."""
    probs, order = torch.softmax(logits / temperature, -1).sort(-1, descending=True)
    kept = probs * _crossing(probs, p)
    result = torch.zeros_like(kept)
    result[:, order[0]] = kept / kept.sum(-1, keepdim=True)
    return result


def _nucleus_masked_logits(logits, p, temperature=1.0):
    """As sampling libraries write it: a mask over logits, moved one to the right."""
    scaled = logits / temperature
    ranked, order = torch.sort(scaled, descending=True)
    remove = ranked.softmax(-1).cumsum(-1) >= p
    remove[..., 1:] = remove[..., :-1].clone()
    remove[..., 0] = False
    return scaled.masked_fill(remove.scatter(-1, order, remove), float("-inf")).softmax(-1)


def _nucleus_ascending(logits, p, temperature=1.0):
    result = torch.softmax(logits / temperature, dim=-1)
    order = result.argsort(-1)
    below = result.gather(-1, order).cumsum(-1)  # of the token and all less likely ones
    drop = below <= 1 - p
    result = result.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), 0.0)
    return result / result.sum(-1, keepdim=True)


def _nucleus_loop(logits, p, temperature=1.0):
    rows = []
    for row in (logits / temperature).softmax(-1).tolist():
        kept, total = {}, 0.0
        for i in sorted(range(len(row)), key=lambda i: -row[i]):
            if total >= p:
                break
            kept[i], total = row[i], total + row[i]
        rows.append([kept.get(i, 0.0) / total for i in range(len(row))])
    return torch.tensor(rows, dtype=logits.dtype)


def _nucleus_inverse(logits, p, temperature=1.0):
    probs, order = (logits / temperature).softmax(-1).sort(-1, descending=True)
    kept = torch.where(_crossing(probs, p), probs, 0.0)
    return (kept / kept.sum(-1, keepdim=True)).gather(-1, order.argsort(-1))


def _nucleus_cases(draw):
    return [
        Case((draw.normal(3, 8, scale=2.0), 0.9), label="three rows, eight tokens, p=0.9"),
        Case((draw.normal(2, 30), 0.5, 0.7), label="two rows, thirty tokens, p=0.5, temperature 0.7"),
        Case((draw.normal(2, 9), 0.8, 2.0), label="two rows, nine tokens, p=0.8, temperature 2"),
        Case((draw.normal(4, 6, scale=4.0), 0.2), label="p below the largest probability"),
        Case((draw.normal(1, 7), 1.0, 0.5), label="p=1, temperature 0.5"),
    ]


BUG_17 = find_the_bug(
    17,
    "nucleus",
    nucleus,
    (
        Part("probabilities", 2.5, _nucleus_cases),
        Part("inputs unchanged", 0.5, _nucleus_cases, ("inputs",)),
    ),
    (
        ("sorted", _nucleus(_crossing, lambda k, o: k), "the probabilities came back in sorted order"),
        ("reversed", _nucleus(_crossing, lambda k, o: torch.zeros_like(k).scatter(-1, o, k.flip(-1))), "the least likely tokens get the largest probabilities"),
        ("first-row", _nucleus_first_row, "all rows are put back in the order of the first"),
        ("one-too-few", _nucleus(lambda s, p: s.cumsum(-1) <= p), "the token with which the sum reaches p is missing, and with it perhaps all"),
        ("at-least-one", _nucleus(lambda s, p: (s.cumsum(-1) <= p) | (torch.arange(s.shape[-1]) == 0)), "the token with which the sum reaches p is missing, unless it is the first"),
        ("one-too-many", _nucleus(lambda s, p: s.cumsum(-1) - s - s.roll(1, -1) * (torch.arange(s.shape[-1]) > 0) < p), "one token more than needed is kept"),
        ("not-scaled", _nucleus(_crossing, scaled=False), "what is kept does not sum to 1"),
        ("temperature-last", _nucleus_cold_last, "the tokens are chosen at temperature 1; the temperature comes first"),
        ("no-temperature", _nucleus(_crossing, warm=False), "the temperature is not looked at"),
        ("nothing-cut", _nucleus(lambda s, p: torch.ones_like(s)), "no token is left out, whatever p"),
        ("greedy", _nucleus(lambda s, p: torch.arange(s.shape[-1]) == 0), "only the most likely token is kept"),
        ("as-shown", _nucleus(_crossing, lambda k, o: k.gather(-1, o)), "the sorted probabilities are given to the wrong tokens: sorting is done twice instead of undone"),
    ),
    {"masked logits": _nucleus_masked_logits, "ascending": _nucleus_ascending, "loop": _nucleus_loop, "inverse permutation": _nucleus_inverse},
    (
        "Call it with p=1: softmax must come out.",
        "`order` says from where each sorted value was taken. What puts it back there?",
        "scatter writes to positions, gather reads from them; or gather with the inverse permutation, order.argsort().",
    ),
)  # fmt: skip


# --- bug-18: one seed for all samples ---------------------------------------------------------------


def sample_groups(prompts, sample, group_size, seed):
    """`group_size` independent answers for each prompt: a list of lists, a list a prompt.

    sample(prompt, rng) draws an answer with a numpy Generator. The same seed gives the same answers. A run
    calls it round by round, with the seeds 0, 1, 2, ...: answers are independent across rounds too.
    """
    rng = np.random.default_rng(seed)
    return [[sample(prompt, rng) for _ in range(group_size)] for prompt in prompts]


def _seeded(generator):
    """A variant: generator(seed, number of the prompt, number of the answer, group size) for each answer."""

    def answer(prompts, sample, group_size, seed):
        return [
            [sample(prompt, generator(seed, i, k, group_size)) for k in range(group_size)]
            for i, prompt in enumerate(prompts)
        ]

    return answer


def _running_seed(step):
    """Seeds counted up from a start that the round gives: seed * step + number of the answer."""
    return _seeded(lambda s, i, k, g: _new(s * step + i * g + k))


def _seeded_by_text(prompts, sample, group_size, seed):
    """A seed from the prompt's text: equal prompts get equal answers, though the same in every process."""
    return [[sample(p, _new([seed, k, *p.encode()])) for k in range(group_size)] for p in prompts]


def _seeded_by_hash(prompts, sample, group_size, seed):
    return [
        [sample(p, _new(abs(hash((seed, p, i, k))))) for k in range(group_size)]
        for i, p in enumerate(prompts)
    ]


def _seeded_by_length(prompts, sample, group_size, seed):
    """Blocks of seeds as long as this round: rounds of another size run into each other's."""
    size = len(prompts) * group_size
    return _seeded(lambda s, i, k, g: _new(s * size + i * g + k))(prompts, sample, group_size, seed)


def _new(*parts):
    return np.random.default_rng(*parts)


def _seeded_by_prompt(prompts, sample, group_size, seed):
    """A generator for each prompt, all from the same seed."""
    found = []
    for prompt in prompts:
        rng = np.random.default_rng(seed)
        found.append([sample(prompt, rng) for _ in range(group_size)])
    return found


def _seeded_repeated(prompts, sample, group_size, seed):
    rng = np.random.default_rng(seed)
    return [[sample(prompt, rng)] * group_size for prompt in prompts]


def _seeded_turned(prompts, sample, group_size, seed):
    rng = np.random.default_rng(seed)
    return [[sample(prompt, rng) for prompt in prompts] for _ in range(group_size)]


def _seeded_spawned(prompts, sample, group_size, seed):
    streams = iter(np.random.SeedSequence(seed).spawn(len(prompts) * group_size))
    return [[sample(p, np.random.default_rng(next(streams))) for _ in range(group_size)] for p in prompts]


def _seeded_in_rounds(prompts, sample, group_size, seed):
    rng = np.random.Generator(np.random.Philox(seed))
    rounds = [[sample(prompt, rng) for prompt in prompts] for _ in range(group_size)]
    return [list(answers) for answers in zip(*rounds, strict=True)]


def _seeded_drawing_seeds(prompts, sample, group_size, seed):
    seeds = random.Random(f"rollouts of round {seed}")
    return [
        tuple(sample(prompt, np.random.default_rng(seeds.getrandbits(96))) for _ in range(group_size))
        for prompt in prompts
    ]


@guarded
def _observe_streams(function, case):
    """Which answers coincide, over prompts, groups and rounds; the stub answers with the draws themselves."""
    plan, group_size = case.args
    asked = [(*one, 1) for one in plan] + [(*plan[0], 1), (*plan[0], 2)]
    *rounds, again, elsewhere = quietly(beside, function, rounds_of, asked, group_size)
    if not ours(function) and elsewhere == again:  # at grading a process of ours
        with function.apart(elsewhere=True) as (there, _):
            elsewhere = quietly(beside, there, rounds_of, asked, group_size)[-1]
    good = all(
        len(groups) == len(prompts)
        and all(len(group) == group_size for group in groups)
        and all(answer[0] == p for p, group in zip(prompts, groups, strict=True) for answer in group)
        for (prompts, _), groups in zip(plan, rounds, strict=True)
    )
    if not good:
        words = Missing("not a list of answers for each prompt")
        return {"draws": words, "groups": words, "seed": "not looked at"}
    draws = [[[draw for answer in g for draw in answer[1:]] for g in groups] for groups in rounds]
    by_round = [[draw for group in groups for draw in group] for groups in draws]
    flat = [draw for groups in by_round for draw in groups]
    words = "all different"
    if any(len(set(group)) < len(group) for groups in draws for group in groups):
        within = [len({answer for answer in group}) for groups in rounds for group in groups]
        across = any(len(set(groups)) < sum(len(set(g)) for g in parts) for groups, parts in zip(by_round, draws, strict=True))  # fmt: skip
        fresh = len(set(flat)) == sum(len(set(groups)) for groups in by_round)
        words = Missing(
            f"{min(within)} different answers in a group of {group_size}"
            f"{', the same draws for every prompt' * across}{'' if fresh else ', the same in every round'}"
        )
    elif any(len(set(groups)) < len(groups) for groups in by_round):
        fresh = len(set(flat)) == sum(len(set(groups)) for groups in by_round)
        twice = any(len(set(prompts)) < len(prompts) for prompts, _ in plan)
        words = Missing(
            f"{'the same prompt, twice in a batch, gets' if twice else 'different prompts get'} the same draws{'' if fresh else ', and rounds share draws'}"
        )
    elif len(set(flat)) < len(flat):
        shared = len(flat) - len(set(flat))
        words = Missing(f"{shared} of {len(flat)} draws come in more than one round")
    return {
        "draws": words,
        "groups": "a list of answers for each prompt",
        "seed": "the same seed gave other answers"
        if again != rounds[0]
        else "same seed, same answers"
        if elsewhere == again
        else "the same seed gives other answers in another process",
    }


def _stream_cases(draw):
    start = draw.integer(0, 500)
    prompts = [f"question {i}" for i in draw.permutation(300)]
    forty = [(prompts[:2], seed) for seed in range(start, start + 40)]
    return [
        Case(([(prompts[:4], s) for s in range(3)], 3), label="four prompts, three answers each, rounds 0 to 2"),
        Case((forty, 5), label="two prompts, five answers each, forty rounds"),
        Case(([([*prompts[:2], prompts[0]], s) for s in range(2)], 3), label="a prompt that stands twice in a batch"),
        Case(([(prompts[:4], 1), (prompts[:2], 2), (prompts[:3], 3)], 3), label="rounds of four, two and three prompts"),
        Case(([(prompts, s) for s in range(2)], 4), label="300 prompts, four answers each, two rounds"),
    ]  # fmt: skip


BUG_18 = find_the_bug(
    18,
    "sample_groups",
    sample_groups,
    (
        Part("independent within groups, across prompts and rounds", 2, _stream_cases, ("draws",)),
        Part("each prompt has its group, same seed same answers", 1, _stream_cases, ("groups", "seed")),
    ),
    (
        ("by-prompt", _seeded_by_prompt, "the answers of a group differ now, but different prompts have the same draws"),
        ("answer-added", _seeded(lambda s, i, k, g: _new(s + k)), "answer k of a round has the seed of answer k - 1 of the next round, whatever the prompt"),
        ("prompt-added", _seeded(lambda s, i, k, g: _new(s + i)), "only the number of the prompt goes into the seed: a group still has one answer, and rounds share seeds"),
        ("number-added", _seeded(lambda s, i, k, g: _new(s + i * g + k)), "every answer of a round has a seed of its own, but most of these seeds come again in the next round"),
        ("round-forgotten", _seeded(lambda s, i, k, g: _new([i, k])), "the seed of the round is not looked at: every round draws the same"),
        ("product", _seeded(lambda s, i, k, g: _new(s * (i * g + k))), "with seed 0 all are alike, and products of different numbers coincide"),
        ("blocks", _running_seed(1000), "each round has a block of a thousand seeds; a round with more answers runs into the next one's"),
        ("blocks-by-size", _seeded_by_length, "each round has a block of seeds as long as itself; where rounds differ in size the blocks overlap"),
        ("by-text", _seeded_by_text, "the seed depends on the prompt's text and not on its place: a prompt that stands twice in a batch gets the same answers twice"),
        ("by-hash", _seeded_by_hash, "the hash of a text differs from process to process, so a run cannot be repeated"),
        ("repeated", _seeded_repeated, "one answer is drawn for each prompt, and repeated"),
        ("unseeded", _seeded(lambda s, i, k, g: _new()), "the seed does nothing any more: a run cannot be repeated"),
        ("turned", _seeded_turned, "a list for each answer came back; a list for each prompt is wanted"),
        ("as-shown", _seeded(lambda s, i, k, g: _new(s)), "every answer of a round is drawn from the same random numbers, so all answers to a prompt are the same"),
    ),
    {"spawned": _seeded_spawned, "rounds of prompts": _seeded_in_rounds, "seeds drawn": _seeded_drawing_seeds},
    (
        "Let `sample` give back rng.random() and print one round.",
        "Two generators with the same seed give the same numbers. How many generators are there, and which seeds do they have?",
        "One generator for the whole round, made once; or SeedSequence(seed).spawn for many. Adding small numbers to the seed runs into the next round's.",
    ),
    _observe_streams,
)  # fmt: skip

BUGS = (BUG_17, BUG_18)
