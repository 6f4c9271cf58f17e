"""04-kto-pipeline: a blinded sheet, and the win rate with its interval."""

import hashlib
import math
import random
import statistics
from fractions import Fraction

import numpy as np
import pandas as pd
import torch
from scipy import stats

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import changed_inputs, describe_error, observe_call, quietly
from course_utils.evaluation import blind_comparison, win_rate
from course_utils.words import type_of

_COLUMNS = ("prompt", "response_1", "response_2")
_SEEDS = 14


# --- the sheet: how it is looked at ---------------------------------------------------------------


def _observe_sheet(function, case):
    """What is on the sheet and in the key, in words; with `extra`, how the coins fall."""
    if case.extra:
        return _observe_coins(function, case)
    args = tuple(list(a) if isinstance(a, list) else a for a in case.args)
    try:
        sheet = quietly(function, *args, **case.kwargs)
        seen = _sheet(sheet, *case.args[:3])
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    return seen | {"inputs": changed_inputs((case.args, {}), (args, {}))}


def _sheet(sheet, prompts, a, b):
    if not isinstance(sheet, pd.DataFrame):
        kind = "None (is there a `return`?)" if sheet is None else type_of(sheet)
        words = Missing(f"{kind} where a DataFrame is wanted")
        return {"columns": words, "rows": words, "key": words}
    more = len(sheet.columns) > len(_COLUMNS)
    columns = {"columns": "more columns than the three" if more else "the three columns"}
    if _in_the_index(sheet):
        columns = {"columns": "the index tells whose response is first; the judges see it"}
    if missing := [name for name in _COLUMNS if name not in sheet.columns]:
        words = Missing(f"the column {missing[0]!r} is missing")
        return {"columns": words, "rows": words, "key": words}
    rows = list(zip(*(sheet[name].tolist() for name in _COLUMNS), strict=True))
    if len(rows) != len(prompts):
        words = Missing(f"{len(rows)} rows where {len(prompts)} are wanted")
        return columns | {"rows": words, "key": words}
    found = [_row(row, *wanted) for row, wanted in zip(rows, zip(prompts, a, b, strict=True), strict=True)]
    wrong = [f"row {i}: {words}" for i, words in enumerate(found) if words != "prompt and both responses"]
    return columns | {
        "rows": Missing(wrong[0]) if wrong else "prompt and both responses in every row",
        "key": _key(sheet, a, b),
    }


def _in_the_index(sheet):
    """Whether the index has two kinds of labels that go with the key."""
    key, labels = _letters(sheet), list(map(str, sheet.index))
    if isinstance(key, Missing) or len(key) != len(labels) or len(set(map(str, key))) < 2:
        return False
    return len(set(labels)) == 2 == len(set(zip(labels, map(str, key), strict=True)))


def _row(row, prompt, a, b):
    if row[0] != prompt:
        return "not the prompt of this row"
    if sorted(map(str, row[1:])) == sorted([a, b]):
        return "prompt and both responses"
    if row[1] == row[2] and row[1] in (a, b):
        return "the same response twice"
    return "not the two responses to this prompt"


def _key(sheet, a, b):
    """What the key says, in words."""
    key = _letters(sheet)
    if isinstance(key, Missing):
        return key
    if len(key) != len(a):
        return Missing(f"the key has {len(key)} entries where {len(a)} are wanted")
    if odd := [k for k in key if k not in ("a", "b")]:
        return Missing(f'{str(odd[0])[:30]!r} is in the key, where "a" and "b" are wanted')
    first = sheet["response_1"].tolist()
    told = [{"a": a, "b": b}[k][i] == first[i] for i, k in enumerate(key)]
    if all(told):
        return "whose response response_1 is"
    return Missing(
        "the key says whose response_2 is"
        if not any(told)
        else f"the key is wrong in {sum(not t for t in told)} of {len(told)} rows"
    )


def _letters(sheet):
    """The key as a list; Missing where there is none."""
    if "key" not in sheet.attrs:
        return Missing('attrs["key"] is missing')
    key = sheet.attrs["key"]
    if isinstance(key, (list, tuple, np.ndarray, pd.Series)):
        return [str(k) if isinstance(k, np.str_) else k for k in key]
    return Missing(f'attrs["key"] is {type_of(key)}, not a list')


def _observe_coins(function, case):
    """Keys of many seeds: fair, independent, the same again."""
    prompts, a, b = case.args
    try:
        keys = [_firsts(quietly(function, list(prompts), list(a), list(b), s), a) for s in range(_SEEDS)]
        again = [_firsts(quietly(function, list(prompts), list(a), list(b), s), a) for s in range(2)]
        without = _firsts(quietly(function, list(prompts), list(a), list(b)), a)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    keys, pairs = np.array(keys), list(zip(a, b, strict=True))
    longer, earlier = (
        np.array(list(order)) for order in zip(*[(len(x) > len(y), x < y) for x, y in pairs], strict=True)
    )
    return {
        "coin": _coin(
            keys,
            longer,
            earlier,
            np.unique(list(zip(*case.args, strict=True)), axis=0, return_inverse=True)[1],
        ),
        "seed": "another sheet for the same seed"
        if any((keys[s] != again[s]).any() for s in range(2))
        else "the default seed is not 0"
        if (without != keys[0]).any()
        else "the same sheet for the same seed",
    }


def _firsts(sheet, a):
    """1 where response_1 is a's, read off the sheet itself."""
    first = sheet["response_1"].tolist()
    return np.array([int(x == y) for x, y in zip(first, a, strict=True)])


def _coin(keys, longer, earlier, content):
    """The coins of many seeds (seeds, rows), in words; `content`: rows of the same number are alike; all bounds are five standard deviations and more wide."""
    seeds, rows = keys.shape
    if (keys == keys[0]).all():
        kinds = {
            "a first in every row": np.ones(rows, dtype=bool),
            "b first in every row": np.zeros(rows, dtype=bool),
            "a and b first in turn": np.arange(rows) % 2 == keys[0, 1],
            "the longer response first": longer,
            "the shorter response first": ~longer,
            "the alphabet's order": earlier,
        }
        kind = next((k for k, order in kinds.items() if (keys[0] == order).all()), "one order")
        return f"{kind} whatever the seed"
    turned = keys != keys[0]
    if (turned == turned[:, :1]).all():
        if (keys == keys[:, :1]).all():
            return "one coin for the whole sheet"
        in_turn = (keys[0, 1:] != keys[0, :-1]).all()
        return "a and b first in turn, from a coin" if in_turn else "a fixed order, or just its reverse"
    content = content.reshape(-1)
    if (
        len(set(content.tolist())) < rows
        and (keys == keys[:, np.unique(content, return_index=True)[1][content]]).all()
    ):
        return "rows that are alike share one coin"
    if abs(keys.mean(axis=1) - 0.5).max() > 0.45:
        return "some seed puts one model first in nearly every row"
    means = keys.mean()
    alike_by_chance = means**2 + (1 - means) ** 2
    if abs((keys[:, 1:] == keys[:, :-1]).mean() - alike_by_chance) > 2.5 / math.sqrt(seeds * rows):
        return "a row's coin depends on that of the row before"
    if words := _again(keys):
        return words
    if abs(means - 0.5) > 2.5 / math.sqrt(seeds * rows):
        return "not a fair coin"
    if len(set(keys.sum(axis=1).tolist())) == 1:
        return "as often a as b in every sheet"
    if _further_up(keys):
        return "a row's coin depends on that of a row further up"
    if abs((keys == longer).mean() - 0.5) > 2.5 / math.sqrt(seeds * rows):
        return "the coin depends on the responses"
    if (keys == keys[0]).all(axis=0).sum() > rows / 20:
        return "some rows have the same order whatever the seed"
    pair = (keys[1:] == keys[:-1]).mean()
    if abs(pair - 0.5) > 2.5 / math.sqrt(seeds * rows):
        return "one seed's coins depend on those of another"
    return "fair and independent"


def _again(keys):
    """Where coins (seeds, rows) come again, in words, or None.

    Two rows of coins are the same where 95 in 100 of at least 64 of them are: by chance that is one in 10^14.
    """
    seeds, rows = keys.shape
    same = (keys[:, None] == keys[None]).mean(axis=2)[np.triu_indices(seeds, 1)]
    if same.max() > 0.95 or same.min() < 0.05:
        return "two seeds give the same sheet, or its reverse"
    before, after = keys[:-1], keys[1:]
    beside = np.arange(rows - rows % 2) ^ 1  # seed ^ row makes the rows of each pair change places
    if ((before[:, : len(beside)] == after[:, beside]).mean(axis=1) > 0.95).any():
        return "a seed's coins are those of the seed beside it, in another order"
    for step in range(1, rows - 63):
        up = (before[:, step:] == after[:, :-step]).mean(axis=1)
        down = (after[:, step:] == before[:, :-step]).mean(axis=1)
        if max(up.max(), down.max()) > 0.95:
            return "a seed's coins are those of the seed beside it, moved by rows"
    return None


def _further_up(keys):
    """Whether coins depend on those so many rows further up: 6.5 standard deviations, over all seeds."""
    seeds, rows = keys.shape
    alike = {step: (keys[:, step:] == keys[:, :-step]).mean() for step in range(2, rows - 63)}
    return any(abs(a - 0.5) > 3.25 / math.sqrt(seeds * (rows - step)) for step, a in alike.items())


# --- the sheet: cases -----------------------------------------------------------------------------


def _texts(draw, n, words=("yes", "no", "perhaps", "never", "often", "42")):
    return [
        " ".join(words[i] for i in draw.integers(0, len(words) - 1, draw.integer(1, 5)).tolist())
        for _ in range(n)
    ]


def _triple(draw, n):
    """Prompts, and responses that differ within each row and from row to row."""
    prompts = [f"question {i}: {text}" for i, text in enumerate(_texts(draw, n))]
    a = [f"{text} ({i}, first)" for i, text in enumerate(_texts(draw, n))]
    b = [f"{text} ({i}, other)" for i, text in enumerate(_texts(draw, n))]
    return prompts, a, b


def _sheet_cases(draw):
    prompts, a, b = _triple(draw, 40)
    alike = (["What is 6 times 7?"] * 12, [f"{i}" for i in range(12)], [f"It is {i}." for i in range(12)])
    # prompts that are the same, responses that other rows have too
    mixed = (["hi", "hi", "bye", "hi"] * 4, ["x", "y", "z", "w"] * 4, ["y", "x", "w", "z"] * 4)
    return [
        Case((prompts, a, b, draw.integer(1, 10_000)), label="40 rows"),
        Case((prompts[:9][::-1], b[:9][::-1], a[:9][::-1]), label="nine rows, the default seed"),
        Case((*alike, 3), label="12 rows with the same prompt"),
        Case((*mixed, draw.integer(0, 99)), label="rows whose responses come in other rows too"),
        Case(([prompts[0]], [a[0]], [b[0]], 5), label="one row"),
    ]


def _coin_cases(draw):
    n = 200
    prompts, _, _ = _triple(draw, n)
    short = [f"{i}" for i in range(n)]
    long = [f"{'!~'[i % 5 > 2]} a long answer to number {i}" for i in range(n)]
    swap = [i % 3 == 0 for i in range(n)]
    a = [y if s else x for x, y, s in zip(long, short, swap, strict=True)]
    b = [x if s else y for x, y, s in zip(long, short, swap, strict=True)]
    return [
        Case((prompts, a, b), label=f"200 rows, seeds 0 to {_SEEDS - 1}", extra=True),
        Case((["What is it?"] * n, a, b), label="200 rows with the same prompt", extra=True),
        Case(
            (["What is it?"] * n, a[:5] * 40, b[:5] * 40),
            label="200 rows, of which 40 each are alike",
            extra=True,
        ),
    ]


# --- the sheet: answers ---------------------------------------------------------------------------


def _made(prompts, a, b, a_first, key=None, **columns):
    pairs = [(x, y) if f else (y, x) for x, y, f in zip(a, b, a_first, strict=True)]
    sheet = pd.DataFrame(
        {"prompt": list(prompts), "response_1": [p[0] for p in pairs], "response_2": [p[1] for p in pairs]}
        | columns
    )
    sheet.attrs["key"] = ["a" if f else "b" for f in a_first] if key is None else key
    return sheet


def _coins(n, seed):
    coin = random.Random(f"coins {seed}")
    return [coin.random() < 0.5 for _ in range(n)]


def _with_coins(coins):
    """An answer whose coins come from `coins(prompts, a, b, seed)`."""

    def answer(prompts, responses_a, responses_b, seed=0):
        return _made(prompts, responses_a, responses_b, coins(prompts, responses_a, responses_b, seed))

    return answer


def _with_key(change):
    """An answer with `change(sheet, coins)` done to a right sheet."""

    def answer(prompts, responses_a, responses_b, seed=0):
        coins = _coins(len(prompts), seed)
        return change(_made(prompts, responses_a, responses_b, coins), coins)

    return answer


def _keyed(key):
    def change(sheet, coins):
        sheet.attrs["key"] = key(coins)
        return sheet

    return _with_key(change)


def _dropping_key(sheet, coins):
    sheet.attrs.clear()
    return sheet


def _balanced(prompts, a, b, seed):
    coins = [i % 2 == 0 for i in range(len(prompts))]
    random.Random(seed).shuffle(coins)
    return coins


def _rows_shuffled(prompts, responses_a, responses_b, seed=0):
    order = list(range(len(prompts)))
    random.Random(seed).shuffle(order)
    if order == sorted(order):
        order.reverse()
    prompts, a, b = ([texts[i] for i in order] for texts in (prompts, responses_a, responses_b))
    return _made(prompts, a, b, _coins(len(prompts), seed))


def _never_swapped(prompts, responses_a, responses_b, seed=0):
    """The coins are in the key only."""
    return _made(
        prompts,
        responses_a,
        responses_b,
        [True] * len(prompts),
        key=["a" if f else "b" for f in _coins(len(prompts), seed)],
    )


def _half_swapped(prompts, responses_a, responses_b, seed=0):
    """response_1 is swapped, response_2 is always b's."""
    coins = _coins(len(prompts), seed)
    first = [x if f else y for x, y, f in zip(responses_a, responses_b, coins, strict=True)]
    sheet = _made(prompts, responses_a, responses_b, coins)
    sheet["response_1"], sheet["response_2"] = first, list(responses_b)
    return sheet


def _columns_apart(prompts, responses_a, responses_b, seed=0):
    """Each column has coins of its own, so that a row may show one response twice."""
    one, two = _coins(len(prompts), seed), _coins(len(prompts), f"{seed}-2")
    sheet = _made(prompts, responses_a, responses_b, one)
    sheet["response_2"] = [y if f else x for x, y, f in zip(responses_a, responses_b, two, strict=True)]
    return sheet


def _unseeded(prompts, responses_a, responses_b, seed=0):
    return _made(prompts, responses_a, responses_b, [random.random() < 0.5 for _ in prompts])


def _inputs_swapped(prompts, responses_a, responses_b, seed=0):
    coins = _coins(len(prompts), seed)
    first = list(responses_a)
    for i, f in enumerate(coins):
        if not f:
            responses_a[i], responses_b[i] = responses_b[i], responses_a[i]
    sheet = _made(prompts, responses_a, responses_b, [True] * len(prompts))
    sheet.attrs["key"] = ["a" if x == y else "b" for x, y in zip(first, responses_a, strict=True)]
    return sheet


def _with_torch(prompts, responses_a, responses_b, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flips = torch.randint(0, 2, (len(prompts),), generator=generator).tolist()
    both = [(a, b) for a, b in zip(responses_a, responses_b, strict=True)]
    frame = pd.DataFrame({"prompt": prompts})
    frame["response_1"] = [pair[flip] for pair, flip in zip(both, flips, strict=True)]
    frame["response_2"] = [pair[1 - flip] for pair, flip in zip(both, flips, strict=True)]
    frame.attrs["key"] = ["ab"[flip] for flip in flips]
    return frame


def _with_numpy(prompts, responses_a, responses_b, seed=0):
    np.random.seed(seed)
    key = np.random.choice(["a", "b"], size=len(prompts))
    frame = pd.DataFrame(
        {
            "prompt": prompts,
            "response_1": np.where(key == "a", responses_a, responses_b),
            "response_2": np.where(key == "a", responses_b, responses_a),
        },
        index=[f"row {i}" for i in range(len(prompts))],
    )
    frame.attrs = {"key": key.tolist()}
    return frame


def _with_records(prompts, responses_a, responses_b, seed=0):
    rng, rows, key = random.Random(seed), [], []
    for prompt, *pair in zip(prompts, responses_a, responses_b, strict=True):
        order = ["a", "b"]
        rng.shuffle(order)
        both = dict(zip("ab", pair, strict=True))
        rows.append({"prompt": prompt, "response_1": both[order[0]], "response_2": both[order[1]]})
        key.append(order[0])
    sheet = pd.DataFrame.from_records(rows)
    sheet.attrs.update(key=key)
    return sheet


def _with_hash(prompts, responses_a, responses_b, seed=0):
    bits = [hashlib.md5(f"{seed}-{i}".encode()).digest()[0] & 1 for i in range(len(prompts))]
    return _made(tuple(prompts), responses_a, responses_b, [bit == 1 for bit in bits])


BLIND_COMPARISON = Exercise(
    id="blind-comparison",
    function="blind_comparison",
    reference=blind_comparison,
    observe=_observe_sheet,
    parts=(
        Part("prompt and both responses, rows in order", 1, _sheet_cases, ("columns", "rows")),
        Part("the key", 1, _sheet_cases, ("key",), independent=True),
        Part("fair, independent coins from the seed", 1.5, _coin_cases, ("coin", "seed")),
        Part("lists unchanged", 0.5, _sheet_cases, ("inputs",)),
    ),
    misconceptions=(
        Misconception(
            "never-swapped",
            _with_coins(lambda p, a, b, seed: [True] * len(p)),
            "a comes first in every row; a judge who prefers the first place then prefers a",
        ),
        Misconception(
            "always-swapped",
            _with_coins(lambda p, a, b, seed: [False] * len(p)),
            "b comes first in every row; a judge who prefers the first place then prefers b",
        ),
        Misconception(
            "coin-by-prompt",
            _with_coins(lambda p, a, b, seed: [random.Random(f"{seed}/{x}").random() < 0.5 for x in p]),
            "rows with the same prompt share one coin; each row needs its own",
        ),
        Misconception(
            "coin-by-content",
            _with_coins(
                lambda p, a, b, seed: [
                    random.Random(f"{seed}/{row}").random() < 0.5 for row in zip(p, a, b, strict=True)
                ]
            ),
            "rows that are alike share one coin, since it is drawn from their texts; each row needs its own",
        ),
        Misconception(
            "seed-plus-row",
            _with_coins(
                lambda p, a, b, seed: [np.random.default_rng(seed + i).random() < 0.5 for i in range(len(p))]
            ),
            "each row has a generator of `seed` + its number, so that neighbouring seeds give the same coins, a row further on; "
            "make one generator for the sheet",
        ),
        Misconception(
            "seed-xor-row",
            _with_coins(
                lambda p, a, b, seed: [random.Random(seed ^ i).random() < 0.5 for i in range(len(p))]
            ),
            "each row has a generator of `seed` ^ its number, so that neighbouring seeds give the same coins in another order; "
            "make one generator for the sheet",
        ),
        Misconception(
            "seed-times-row",
            _with_coins(
                lambda p, a, b, seed: [random.Random(seed * i).random() < 0.5 for i in range(len(p))]
            ),
            "each row has a generator of `seed` times its number: with seed 0 that is one and the same for all rows; "
            "make one generator for the sheet",
        ),
        Misconception(
            "ten-seeds",
            _with_coins(lambda p, a, b, seed: _coins(len(p), seed % 10)),
            "different seeds give the same sheet; draw from a generator made with the whole seed",
        ),
        Misconception(
            "a-block-again",
            _with_coins(lambda p, a, b, seed: (_coins(32, seed) * len(p))[: len(p)]),
            "the same few coins come again and again down the sheet; each row needs a coin of its own",
        ),
        Misconception(
            "one-coin",
            _with_coins(lambda p, a, b, seed: [random.Random(seed).random() < 0.5] * len(p)),
            "one coin decided for the whole sheet; each row needs its own",
        ),
        Misconception(
            "alternating",
            _with_coins(lambda p, a, b, seed: [i % 2 == 0 for i in range(len(p))]),
            "the order follows a fixed pattern, whatever the seed; a judge can guess it",
        ),
        Misconception(
            "alternating-from-a-coin",
            _with_coins(
                lambda p, a, b, seed: [
                    (i + random.Random(seed).getrandbits(1)) % 2 == 0 for i in range(len(p))
                ]
            ),
            "only the first row's order is drawn, and the others follow in turn; each row needs a coin of its own",
        ),
        Misconception(
            "pattern-turned",
            _with_coins(
                lambda p, a, b, seed: [
                    (i % 7 in (0, 1, 3)) == (random.Random(seed).random() < 0.5) for i in range(len(p))
                ]
            ),
            "every seed gives one and the same order, or its reverse; each row needs a coin of its own",
        ),
        Misconception(
            "blocks-of-rows",
            _with_coins(
                lambda p, a, b, seed: [
                    random.Random(f"{seed}/{i // 10}").random() < 0.5 for i in range(len(p))
                ]
            ),
            "a row's order goes with that of the row before; each row needs a coin of its own",
        ),
        Misconception(
            "balanced",
            _with_coins(_balanced),
            "a comes first in just half of the rows of every sheet; then the last rows follow from the others. Draw each row by itself",
        ),
        Misconception(
            "unfair",
            _with_coins(
                lambda p, a, b, seed: [random.Random(f"{seed}/{i}").random() < 0.3 for i in range(len(p))]
            ),
            "the coin is not fair: one model comes first much more often",
        ),
        Misconception(
            "unseeded",
            _unseeded,
            "the same seed gives another sheet at each call; draw from a generator made with `seed`",
        ),
        Misconception(
            "fixed-seed",
            _with_coins(lambda p, a, b, seed: _coins(len(p), 42)),
            "`seed` makes no difference: every seed gives the same order",
        ),
        Misconception(
            "longer-first",
            _with_coins(lambda p, a, b, seed: [len(x) > len(y) for x, y in zip(a, b, strict=True)]),
            "the order follows the responses themselves; it must be drawn",
        ),
        Misconception(
            "sorted",
            _with_coins(lambda p, a, b, seed: [x < y for x, y in zip(a, b, strict=True)]),
            "the order follows the responses' alphabet; it must be drawn",
        ),
        Misconception(
            "default-seed",
            lambda prompts, responses_a, responses_b, seed=1234: _with_coins(
                lambda p, a, b, s: _coins(len(p), s)
            )(prompts, responses_a, responses_b, seed),
            "without a seed another sheet comes than with seed 0, the default",
        ),
        Misconception(
            "key-in-the-sheet",
            _with_key(lambda sheet, coins: sheet.assign(key=["a" if f else "b" for f in coins])),
            "the sheet has more columns than prompt, response_1 and response_2; the judges see all of them, so least of all the key belongs there",
        ),
        Misconception(
            "key-as-index",
            _with_key(lambda sheet, coins: sheet.set_axis(["a" if f else "b" for f in coins])),
            "the key is the sheet's index; the judges see that too",
        ),
        Misconception(
            "no-key",
            _with_key(_dropping_key),
            "nobody can tell any more whose response is whose: the key is missing",
        ),
        Misconception(
            "key-column-only",
            _with_key(
                lambda sheet, coins: _dropping_key(sheet, coins).assign(
                    key=["a" if f else "b" for f in coins]
                )
            ),
            "the key is a column of the sheet; it must be kept apart from it",
        ),
        Misconception(
            "models-as-columns",
            _with_key(
                lambda sheet, coins: sheet.rename(
                    columns={"response_1": "response_a", "response_2": "response_b"}
                )
            ),
            "the responses' columns are named after the models; the judge must not see that",
        ),
        Misconception(
            "key-turned",
            _keyed(lambda coins: ["b" if f else "a" for f in coins]),
            "the key names the model of response_2; it must be that of response_1",
        ),
        Misconception(
            "key-of-bools",
            _keyed(list),
            'the key holds True and False; "a" and "b" are wanted',
        ),
        Misconception(
            "key-of-positions",
            _keyed(lambda coins: [1 if f else 2 for f in coins]),
            'the key holds numbers; "a" and "b" are wanted',
        ),
        Misconception(
            "key-of-zeros",
            _keyed(lambda coins: [0 if f else 1 for f in coins]),
            'the key holds 0 and 1; "a" and "b" are wanted',
        ),
        Misconception(
            "key-of-names",
            _keyed(lambda coins: ["model_a" if f else "model_b" for f in coins]),
            'the key holds longer names; "a" and "b" are wanted',
        ),
        Misconception(
            "key-of-capitals",
            _keyed(lambda coins: ["A" if f else "B" for f in coins]),
            'the key holds capitals; "a" and "b" are wanted',
        ),
        Misconception(
            "key-of-responses",
            _keyed(lambda coins: [f"response_{1 if f else 2}" for f in coins]),
            'the key holds names of columns; for each row "a" or "b" is wanted, whose response response_1 is',
        ),
        Misconception(
            "key-of-pairs",
            _keyed(lambda coins: [("a", "b") if f else ("b", "a") for f in coins]),
            "the key holds pairs; one letter a row is wanted, whose response response_1 is",
        ),
        Misconception(
            "key-as-dict",
            _keyed(lambda coins: {i: "a" if f else "b" for i, f in enumerate(coins)}),
            "the key is a dict; a list in the order of the rows is wanted",
        ),
        Misconception(
            "key-as-text",
            _keyed(lambda coins: "".join("a" if f else "b" for f in coins)),
            "the key is one string; a list in the order of the rows is wanted",
        ),
        Misconception(
            "key-drawn-apart",
            _keyed(lambda coins: ["a" if f else "b" for f in _coins(len(coins), "another")]),
            "the key does not belong to the sheet: were its coins drawn a second time?",
        ),
        Misconception(
            "coins-in-the-key-only",
            _never_swapped,
            "coins were drawn for the key, but the responses never changed places",
        ),
        Misconception(
            "half-swapped",
            _half_swapped,
            "where b comes first, b stands in both places; a's response must go to the other one",
        ),
        Misconception(
            "columns-apart",
            _columns_apart,
            "each column has coins of its own, so a row can show the same response twice",
        ),
        Misconception(
            "rows-shuffled",
            _rows_shuffled,
            "the rows were shuffled; only the two responses within a row change places",
        ),
        Misconception(
            "sheet-and-key",
            _with_key(lambda sheet, coins: (sheet, sheet.attrs["key"])),
            'a pair came back; the key belongs into attrs["key"] of the sheet',
        ),
        Misconception(
            "rows-as-dicts",
            _with_key(lambda sheet, coins: sheet.to_dict("records")),
            "a list came back, not a DataFrame",
        ),
        Misconception(
            "lists-changed",
            _inputs_swapped,
            "the given lists were changed: the responses were swapped in them; work on copies",
        ),
    ),
    alternatives={
        "torch": _with_torch,
        "numpy's global generator, another index": _with_numpy,
        "records": _with_records,
        "hash of seed and row": _with_hash,
    },
    hints=(
        "Make one generator from the seed (random.Random or numpy's default_rng) and draw one coin for each row.",
        "The coin decides three things at once: what stands in response_1, in response_2, and the letter in the key.",
        'A DataFrame has a dict beside its columns, attrs: frame.attrs["key"] = a list.',
    ),
)


# --- the win rate ---------------------------------------------------------------------------------

_Z = 1.959963984540054


def _observe_rate(function, case):
    """As `observe_call`; an array or a tensor of three is three numbers."""
    seen = observe_call(function, case)
    result = seen.get("result")
    if isinstance(result, (np.ndarray, torch.Tensor)) and result.ndim == 1:
        result = result.tolist()
    if isinstance(result, dict):
        return seen | {"rate": Missing("a dict where (rate, low, high) is wanted"), "interval": result}
    if isinstance(result, list) and len(result) == 3:
        numbers = [float(x) if isinstance(x, Fraction) else x for x in result]
        return seen | {"rate": numbers[0], "interval": numbers[1:]}
    return seen if "error" in seen else seen | {"rate": result, "interval": result}


def _judgements(draw, wins, losses, ties):
    words = ["a"] * wins + ["b"] * losses + ["tie"] * ties
    return [words[i] for i in draw.permutation(len(words))]


def _rate_case(draw, wins, losses, ties, label=""):
    # 1e-4 in absolute terms: 16 spacings of this scale
    scale = 1e-4 / (16 * torch.finfo(torch.float64).eps)
    label = label or f"{wins} wins, {losses} losses, {ties} ties"
    return Case((_judgements(draw, wins, losses, ties),), label=label, scale=scale)


def _rate_cases(draw):
    return [
        _rate_case(draw, 40, 30, 30),
        _rate_case(draw, 60, 40, 0),
        _rate_case(draw, draw.integer(3, 9), draw.integer(12, 20), draw.integer(1, 11)),
        _rate_case(draw, 2, 1, 3),
        _rate_case(draw, draw.integer(300, 500), draw.integer(100, 200), draw.integer(210, 290)),
        _rate_case(draw, 3, 1, 0),
        _rate_case(draw, 5, 0, 0),
        _rate_case(draw, 0, 4, 0),
        _rate_case(draw, 0, 0, 7),
        _rate_case(draw, 1, 0, 0),
    ]


def _wilson(rate, n, z=_Z):
    """Wilson's interval; with z squared in the right places."""
    centre, spread = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def _counts(judgements):
    return tuple(judgements.count(word) for word in ("a", "b", "tie"))


def _from_counts(rule):
    """An answer from (wins, losses, ties)."""
    return lambda judgements: rule(*_counts(judgements))


def _half(w, lo, t):
    return (w + t / 2) / (w + lo + t)


def _wald(w, lo, t, clip=False):
    n, rate = w + lo + t, _half(w, lo, t)
    low, high = rate - _Z * math.sqrt(rate * (1 - rate) / n), rate + _Z * math.sqrt(rate * (1 - rate) / n)
    return (rate, max(low, 0.0), min(high, 1.0)) if clip else (rate, low, high)


def _with_interval(interval):
    """The right rate with `interval(rate, n)`."""
    return _from_counts(lambda w, lo, t: (_half(w, lo, t), *interval(_half(w, lo, t), w + lo + t)))


def _agresti_coull(rate, n):
    n2 = n + _Z**2
    p = (rate * n + _Z**2 / 2) / n2
    d = _Z * math.sqrt(p * (1 - p) / n2)
    return p - d, p + d


def _agresti_plain(rate, n):
    p = (rate * n + 2) / (n + 4)
    d = _Z * math.sqrt(p * (1 - p) / (n + 4))
    return p - d, p + d


def _clopper(rate, n):
    x = rate * n
    low = stats.beta.ppf(0.025, x, n - x + 1) if x > 0 else 0.0
    high = stats.beta.ppf(0.975, x + 1, n - x) if x < n else 1.0
    return float(low), float(high)


def _jeffreys(rate, n):
    low, high = stats.beta.ppf([0.025, 0.975], rate * n + 0.5, n - rate * n + 0.5)
    return float(low), float(high)


def _corrected(rate, n):
    """Wilson's interval with the continuity correction (Newcombe 1998)."""
    z, p = _Z, rate
    root = math.sqrt(max(z * z - 1 / n + 4 * n * p * (1 - p) + (4 * p - 2), 0)) * z + 1
    low = max(0.0, (2 * n * p + z * z - root) / (2 * (n + z * z)))
    root = math.sqrt(max(z * z - 1 / n + 4 * n * p * (1 - p) - (4 * p - 2), 0)) * z + 1
    return low, min(1.0, (2 * n * p + z * z + root) / (2 * (n + z * z)))


def _no_square_in_n(rate, n):
    z = _Z
    centre, spread = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def _not_divided(rate, n):
    z = _Z
    centre, spread = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return centre - spread, centre + spread


def _around_the_rate(rate, n):
    low, high = _wilson(rate, n)
    return rate - (high - low) / 2, rate + (high - low) / 2


def _values_in_wald(w, lo, t):
    """The normal interval from the sample's own spread of 1, 0 and 1/2."""
    n, rate = w + lo + t, _half(w, lo, t)
    s = math.sqrt((w * (1 - rate) ** 2 + lo * rate**2 + t * (0.5 - rate) ** 2) / max(n - 1, 1))
    return rate, rate - _Z * s / math.sqrt(n), rate + _Z * s / math.sqrt(n)


def _bootstrap(judgements):
    worth = np.array([{"a": 1.0, "b": 0.0, "tie": 0.5}[j] for j in judgements])
    means = np.random.default_rng(0).choice(worth, (1000, len(worth))).mean(axis=1)
    return float(worth.mean()), *map(float, np.percentile(means, [2.5, 97.5]))


def _by_quadratic(judgements):
    """The interval's ends are the roots of (rate - p)^2 = z^2 p (1 - p) / n."""
    n = len(judgements)
    rate = sum(1 if j == "a" else 0.5 if j == "tie" else 0 for j in judgements) / n
    low, high = sorted(np.roots([1 + 1.96**2 / n, -(2 * rate + 1.96**2 / n), rate**2]).real.tolist())
    return rate, low, high


def _by_pandas(judgements):
    worth = pd.Series(judgements).map({"a": 1.0, "tie": 0.5, "b": 0.0})
    p, n, z = worth.mean(), worth.size, stats.norm.ppf(0.975)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return [p, middle - half, middle + half]


def _by_torch(judgements):
    x = torch.tensor([{"a": 1.0, "tie": 0.5}.get(j, 0.0) for j in judgements], dtype=torch.float64)
    n, p, z2 = len(x), x.mean(), 1.96**2
    half = torch.sqrt(z2 * p * (1 - p) / n + (z2 / (2 * n)) ** 2)
    ends = (p + z2 / (2 * n) + half * torch.tensor([-1.0, 1.0])) / (1 + z2 / n)
    return p.item(), max(0.0, ends[0].item()), min(1.0, ends[1].item())


def _by_doubling(judgements):
    """Every judgement twice, a tie as one of each: the rate is the share among 2n, the interval is of n."""
    twice = [bit for j in judgements for bit in {"a": (1, 1), "b": (0, 0), "tie": (0, 1)}[j]]
    rate, n, z = statistics.fmean(twice), len(twice) / 2, statistics.NormalDist().inv_cdf(0.975)
    return rate, *_wilson(rate, n, z)


WIN_RATE = Exercise(
    id="win-rate",
    function="win_rate",
    reference=win_rate,
    observe=_observe_rate,
    parts=(
        Part("the rate", 1.5, _rate_cases, ("rate",), independent=True),
        Part("the interval", 2, _rate_cases, ("interval",), independent=True),
        Part("judgements unchanged", 0.5, _rate_cases, ("inputs",)),
    ),
    misconceptions=(
        Misconception(
            "rounded-to-thousandths",
            lambda judgements: tuple(round(x, 3) for x in win_rate(judgements)),
            "the numbers were rounded; 1e-4 is wanted. Round when you print",
        ),
        Misconception(
            "interval-of-wins",
            _from_counts(lambda w, lo, t: (_half(w, lo, t), *_wilson(w / (w + lo + t), w + lo + t))),
            "the rate is right, but the interval is that of the wins alone, without the half ties",
        ),
        Misconception(
            "ties-as-losses",
            _from_counts(lambda w, lo, t: (w / (w + lo + t), *_wilson(w / (w + lo + t), w + lo + t))),
            "a tie counts as a loss: the same judgements with the models exchanged would not give 1 minus this rate",
        ),
        Misconception(
            "ties-as-wins",
            _from_counts(
                lambda w, lo, t: ((w + t) / (w + lo + t), *_wilson((w + t) / (w + lo + t), w + lo + t))
            ),
            "a tie counts as a whole win for a",
        ),
        Misconception(
            "ties-dropped",
            _from_counts(
                lambda w, lo, t: (w / (w + lo), *_wilson(w / (w + lo), w + lo)) if w + lo else (0.5, 0.0, 1.0)
            ),
            "ties were left out; a tie counts half and is one of the judgements",
        ),
        Misconception(
            "ties-dropped-from-n",
            _from_counts(
                lambda w, lo, t: (
                    (_half(w, lo, t), *_wilson(_half(w, lo, t), w + lo)) if w + lo else (0.5, 0.0, 1.0)
                )
            ),
            "the rate is right, but the interval takes n without the ties; all judgements count",
        ),
        Misconception(
            "half-in-n",
            _from_counts(
                lambda w, lo, t: (
                    (w + t / 2) / (w + lo + t / 2),
                    *_wilson((w + t / 2) / (w + lo + t / 2), w + lo + t / 2),
                )
            ),
            "a tie counts half in the number of judgements too; there it counts as one",
        ),
        Misconception(
            "rate-of-b",
            _from_counts(lambda w, lo, t: (_half(lo, w, t), *_wilson(_half(lo, w, t), w + lo + t))),
            "this is the rate of b; that of a is wanted",
        ),
        Misconception(
            "difference",
            _from_counts(lambda w, lo, t: ((w - lo) / (w + lo + t), *_wilson(_half(w, lo, t), w + lo + t))),
            "this is wins minus losses, from -1 to 1; the rate goes from 0 to 1",
        ),
        Misconception(
            "percent",
            _from_counts(
                lambda w, lo, t: tuple(
                    100 * x for x in (_half(w, lo, t), *_wilson(_half(w, lo, t), w + lo + t))
                )
            ),
            "these are percentages; shares from 0 to 1 are wanted",
        ),
        Misconception(
            "wald",
            _from_counts(_wald),
            "this interval is rate ± 1.96 standard errors of a normal variable: it leaves 0 to 1 and has no width for 5 wins of 5. Wilson's is another",
        ),
        Misconception(
            "wald-clipped",
            _from_counts(lambda w, lo, t: _wald(w, lo, t, clip=True)),
            "this interval is rate ± 1.96 standard errors, cut at 0 and 1: no width for 5 wins of 5. Wilson's is another",
        ),
        Misconception(
            "own-spread",
            _from_counts(_values_in_wald),
            "the interval is that of a mean, from the spread of the judgements; Wilson's is wanted",
        ),
        Misconception(
            "agresti-coull",
            _with_interval(_agresti_coull),
            "this is the interval of Agresti and Coull: the same centre as Wilson's, but wider",
        ),
        Misconception(
            "plus-four",
            _with_interval(_agresti_plain),
            "two wins and two losses were added and the normal interval taken; Wilson's is wanted",
        ),
        Misconception(
            "clopper-pearson",
            _with_interval(_clopper),
            "this is the exact interval of Clopper and Pearson, which is wider; Wilson's is wanted",
        ),
        Misconception(
            "jeffreys",
            _with_interval(_jeffreys),
            "this is a Bayesian interval (Jeffreys' prior); Wilson's is wanted",
        ),
        Misconception(
            "continuity-correction",
            _with_interval(_corrected),
            "this is Wilson's interval with a continuity correction; the plain one is wanted",
        ),
        Misconception(
            "bootstrap",
            _bootstrap,
            "the interval is a bootstrap's; Wilson's is a formula of rate and n",
        ),
        Misconception(
            "90-percent",
            _with_interval(lambda rate, n: _wilson(rate, n, 1.6448536)),
            "this is the interval of 90 %: for 95 %, 2.5 % lie on each side",
        ),
        Misconception(
            "99-percent",
            _with_interval(lambda rate, n: _wilson(rate, n, 2.5758293)),
            "this is the interval of 99 %",
        ),
        Misconception(
            "z-2",
            _with_interval(lambda rate, n: _wilson(rate, n, 2.0)),
            "z was rounded to 2; that is not within 1e-4",
        ),
        Misconception(
            "one-z",
            _with_interval(lambda rate, n: _wilson(rate, n, 1.0)),
            "z is 1: this interval holds 68 %",
        ),
        Misconception(
            "n-not-squared",
            _with_interval(_no_square_in_n),
            "one n under Wilson's root has lost its square",
        ),
        Misconception(
            "not-divided",
            _with_interval(_not_divided),
            "the division by 1 + z²/n is missing",
        ),
        Misconception(
            "around-the-rate",
            _with_interval(_around_the_rate),
            "the interval is centred on the rate; Wilson's centre lies nearer to 1/2",
        ),
        Misconception(
            "centre-as-rate",
            _from_counts(
                lambda w, lo, t: (
                    sum(_wilson(_half(w, lo, t), w + lo + t)) / 2,
                    *_wilson(_half(w, lo, t), w + lo + t),
                )
            ),
            "the rate that came back is the interval's centre; the rate itself is wanted",
        ),
        Misconception(
            "half-width",
            _from_counts(
                lambda w, lo, t: (
                    _half(w, lo, t),
                    (ends := _wilson(_half(w, lo, t), w + lo + t))[1] - ends[0],
                )
            ),
            "two numbers came back; (rate, low, high) is wanted",
        ),
        Misconception(
            "ties-cut",
            _with_interval(lambda rate, n: _wilson(int(rate * n) / n, n)),
            "the interval is that of a whole number of wins: half a win was cut off",
        ),
        Misconception(
            "rounded",
            lambda judgements: tuple(round(x, 2) for x in win_rate(judgements)),
            "the numbers were rounded to two digits; 1e-4 is wanted",
        ),
        Misconception(
            "interval-as-pair",
            _from_counts(lambda w, lo, t: (_half(w, lo, t), _wilson(_half(w, lo, t), w + lo + t))),
            "the interval is a pair inside the result; three numbers are wanted",
        ),
        Misconception(
            "ends-exchanged",
            _from_counts(lambda w, lo, t: (_half(w, lo, t), *_wilson(_half(w, lo, t), w + lo + t)[::-1])),
            "low and high are exchanged",
        ),
        Misconception(
            "low-first",
            _from_counts(
                lambda w, lo, t: (
                    (ends := _wilson(_half(w, lo, t), w + lo + t))[0],
                    _half(w, lo, t),
                    ends[1],
                )
            ),
            "the order is low, rate, high; rate, low, high is wanted",
        ),
        Misconception(
            "rate-only",
            _from_counts(_half),
            "one number came back; the interval's ends are wanted too",
        ),
        Misconception(
            "judgements-sorted",
            lambda judgements: (judgements.sort(), win_rate(judgements))[1],
            "the list of judgements was changed; work on a copy",
        ),
    ),
    alternatives={
        "quadratic": _by_quadratic,
        "pandas": _by_pandas,
        "torch": _by_torch,
        "ties as one of each": _by_doubling,
    },
    hints=(
        "Give each judgement a worth (1, 0 or 1/2); the rate is their mean.",
        "Wilson's interval holds the p for which |rate − p| is at most z times the standard error at p, √(p(1 − p)/n): a quadratic equation in p.",
        "Its centre is (rate + z²/2n) / (1 + z²/n); half its width is z√(rate(1 − rate)/n + z²/4n²) / (1 + z²/n). n counts all judgements.",
    ),
)
