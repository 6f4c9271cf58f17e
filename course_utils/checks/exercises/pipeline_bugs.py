"""04-kto-pipeline: find the bug. Eight pieces of a pipeline that look right and are wrong.

The misconception "as-shown" is the code that the notebook shows. It fails every part, so that an
untouched cell earns nothing; it stands behind half fixes, so that those are named that fail in the
same way, but less often. Any right fix passes: the checks look at what comes back only.
"""

import asyncio
import copy
import functools
import inspect
import math
import statistics
import threading

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import changed_inputs, describe_error, observe_call, quietly

_NOT_YET = "Not yet mended: "


def _bug(number, function, reference, parts, wrong, alternatives, hints, observe=observe_call):
    """An exercise; `wrong`: (name, function, sentence), the code as it is shown under "as-shown"."""
    names = [(name, f, _NOT_YET * (name == "as-shown") + sentence) for name, f, sentence in wrong]
    return Exercise(
        id=f"bug-{number:02d}",
        function=function,
        reference=reference,
        parts=parts,
        misconceptions=tuple(Misconception(*one) for one in names),
        alternatives=alternatives,
        hints=hints,
        observe=observe,
    )


# --- bug-01: equal-width bins on a long-tailed length -----------------------------------------------


def approval_by_length(lengths, thumbs_up, bins=5):
    """The share of thumbs-up in bins of about equal size: [(votes, share), ...], the shortest first."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    groups = np.array_split(order, bins)
    return [(len(group), sum(bool(thumbs_up[i]) for i in group) / len(group)) for group in groups]


def _bins_shown(lengths, thumbs_up, bins=5):
    bin_of = pd.cut(pd.Series(lengths), bins=bins, labels=False)
    votes = pd.Series(thumbs_up, dtype=float).groupby(bin_of)
    return [(int(v.size), float(v.mean())) for _, v in votes]


def _bins_of_logs(lengths, thumbs_up, bins=5):
    return _bins_shown(np.log(np.asarray(lengths, dtype=float)), thumbs_up, bins)


def _bins_unsorted(lengths, thumbs_up, bins=5):
    groups = np.array_split(np.arange(len(lengths)), bins)
    return [(len(g), sum(bool(thumbs_up[i]) for i in g) / len(g)) for g in groups]


def _bins_longest_first(lengths, thumbs_up, bins=5):
    return approval_by_length(lengths, thumbs_up, bins)[::-1]


def _bins_always_five(lengths, thumbs_up, bins=5):
    return approval_by_length(lengths, thumbs_up, 5)


def _bins_counts(lengths, thumbs_up, bins=5):
    return [(n, round(n * share)) for n, share in approval_by_length(lengths, thumbs_up, bins)]


def _bins_qcut(lengths, thumbs_up, bins=5):
    frame = pd.DataFrame({"length": lengths, "up": np.asarray(thumbs_up, dtype=float)})
    table = frame.groupby(pd.qcut(frame["length"], bins), observed=True)["up"].agg(["size", "mean"])
    return list(table.itertuples(index=False, name=None))


def _bins_quantiles(lengths, thumbs_up, bins=5):
    lengths, up = np.asarray(lengths, dtype=float), np.asarray(thumbs_up, dtype=bool)
    edges = np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:-1])
    bin_of = np.searchsorted(edges, lengths, side="left")
    return [[int((bin_of == b).sum()), up[bin_of == b].mean()] for b in range(bins)]


def _bins_ranks(lengths, thumbs_up, bins=5):
    ranks = stats.rankdata(lengths, method="ordinal") - 1
    bin_of = (ranks * bins // len(lengths)).astype(int)
    found = []
    for b in range(bins):
        mine = [bool(up) for up, k in zip(thumbs_up, bin_of, strict=True) if k == b]
        found.append((len(mine), statistics.fmean(mine)))
    return found


def _observe_bins(function, case):
    """The number of bins, the sizes to within two rows, the shares to within two votes."""
    lengths, thumbs_up = case.args
    args = (list(lengths), list(thumbs_up))
    try:
        found = [(float(n), float(share)) for n, share in quietly(function, *args, **case.kwargs)]
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    bins = case.kwargs.get("bins", 5)
    size = len(lengths) / bins
    if len(found) != bins:
        words = Missing(f"{len(found)} bins where {bins} are wanted")
        return {"sizes": words, "shares": words, "inputs": changed_inputs((case.args, {}), (args, {}))}
    uneven = [n for n, _ in found if abs(n - size) > 2]
    wanted = approval_by_length(lengths, thumbs_up, bins)
    off = [
        f"bin {i + 1}: {share:.3f}"
        for i, ((_, share), (_, right)) in enumerate(zip(found, wanted, strict=True))
        if not abs(share - right) < 2.5 / size
    ]
    return {
        "sizes": Missing(f"a bin with {max(uneven, key=lambda n: abs(n - size)):g} of {len(lengths)} votes")
        if uneven
        else "about equal",
        "shares": Missing(f"not the share of thumbs-up: {off[0]}") if off else "right",
        "inputs": changed_inputs((case.args, {}), (args, {})),
    }


def _bin_case(draw, n, slope, **kwargs):
    """Log-normal lengths, all different; the approval falls or rises with the rank of the length."""
    lengths = [20 * math.exp(float(x)) + i / 1000 for i, x in enumerate(draw.normal(n, scale=1.2).tolist())]
    lengths[draw.integer(0, n - 1)] = 6_000.0
    ranks = stats.rankdata(lengths) / n
    chance = draw.uniform(0, 1, n).tolist()
    ups = [c < 0.5 + slope * (r - 0.5) for c, r in zip(chance, ranks, strict=True)]
    return Case((lengths, ups), kwargs, label=f"{n} votes, bins={kwargs.get('bins', 5)}")


def _bin_cases(draw):
    return [_bin_case(draw, 500, -0.9), _bin_case(draw, 403, 0.9), _bin_case(draw, 240, -0.9, bins=3)]


BUG_01 = _bug(
    1,
    "approval_by_length",
    approval_by_length,
    (
        Part("bins of about equal size", 1.5, _bin_cases, ("sizes",)),
        Part("the share of thumbs-up in each, inputs unchanged", 1.5, _bin_cases, ("shares", "inputs")),
    ),
    (
        ("logs", _bins_of_logs, "the bins are equally wide on a log scale now, but still of unequal size"),
        (
            "unsorted",
            _bins_unsorted,
            "the bins are of equal size now, but their votes are not those of their lengths: rows as they come, or lengths sorted without their votes",
        ),
        ("longest-first", _bins_longest_first, "the longest responses come first; the shortest should"),
        ("always-five", _bins_always_five, "there are always five bins, whatever `bins` says"),
        ("counts", _bins_counts, "the second number of each bin is a count; the share is wanted"),
        (
            "as-shown",
            _bins_shown,
            "nearly all votes fall into the first bin and a few into the last, because one response is very long",
        ),
    ),
    {"qcut": _bins_qcut, "quantiles": _bins_quantiles, "ranks": _bins_ranks},
    (
        "Print how many votes each bin holds, for lengths of which one is far larger than the others.",
        "Bins can be equally wide or equally full; the docstring says which.",
        "pd.qcut cuts at quantiles; or sort by length and cut the sorted rows into equal pieces.",
    ),
    _observe_bins,
)


# --- bug-02: a cap that counts all prompts together -------------------------------------------------


def capped_pairs(votes, cap=4):
    """Pairs (prompt, chosen, rejected): for each prompt all there are, but at most `cap`.

    votes: {prompt: (responses with thumbs-up, responses with thumbs-down)}.
    """
    return [
        pair
        for prompt, (ups, downs) in votes.items()
        for pair in [(prompt, up, down) for up in ups for down in downs][:cap]
    ]


def _pairs_shown(votes, cap=4):
    pairs = []
    for prompt, (ups, downs) in votes.items():
        for up in ups:
            for down in downs:
                pairs.append((prompt, up, down))
                if len(pairs) % cap == 0:
                    break
            if len(pairs) % cap == 0:
                break
    return pairs


def _pairs_capped_in_all(votes, cap=4):
    return [(p, u, d) for p, (ups, downs) in votes.items() for u in ups for d in downs][:cap]


def _pairs_no_cap(votes, cap=4):
    return [(p, u, d) for p, (ups, downs) in votes.items() for u in ups for d in downs]


def _pairs_inner_break(votes, cap=4):
    """The counter is reset, but only the inner loop is left."""
    pairs = []
    for prompt, (ups, downs) in votes.items():
        count = 0
        for up in ups:
            for down in downs:
                pairs.append((prompt, up, down))
                count += 1
                if count >= cap:
                    break
    return pairs


def _pairs_per_up(votes, cap=4):
    return [(p, u, d) for p, (ups, downs) in votes.items() for u in ups for d in downs[:cap]]


def _pairs_sides_cut(votes, cap=4):
    return [(p, u, d) for p, (ups, downs) in votes.items() for u in ups[:cap] for d in downs[:cap]]


def _pairs_zipped(votes, cap=4):
    return [
        (p, u, d) for p, (ups, downs) in votes.items() for u, d in list(zip(ups, downs, strict=False))[:cap]
    ]


def _pairs_one_too_many(votes, cap=4):
    return capped_pairs(votes, cap + 1)


def _pairs_turned(votes, cap=4):
    return [(p, d, u) for p, u, d in capped_pairs(votes, cap)]


def _pairs_drawn(votes, cap=4):
    rng, found = np.random.default_rng(0), []
    for prompt in votes:
        ups, downs = votes[prompt]
        every = [(i, j) for i in range(len(ups)) for j in range(len(downs))]
        picked = rng.permutation(len(every))[: min(cap, len(every))]
        found += [(prompt, ups[every[k][0]], downs[every[k][1]]) for k in picked]
    return found


def _pairs_counted(votes, cap=4):
    pairs = []
    for prompt, (ups, downs) in votes.items():
        count = 0
        for up in ups:
            for down in downs:
                if count < cap:
                    pairs.append([prompt, up, down])
                    count += 1
    return pairs


def _pairs_returning(votes, cap=4):
    def of_one(prompt):
        mine = []
        for up in votes[prompt][0]:
            for down in votes[prompt][1]:
                mine.append((prompt, up, down))
                if len(mine) == cap:
                    return mine
        return mine

    return sum(map(of_one, sorted(votes, reverse=True)), [])


def _observe_pairs(function, case):
    votes = case.args[0]
    args = (copy.deepcopy(votes), *case.args[1:])
    try:
        pairs = [tuple(pair) for pair in quietly(function, *args)]
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    counts = {prompt: sum(pair[0] == prompt for pair in pairs) for prompt in votes}
    wrong = [p for p in pairs if len(p) != 3 or p[0] not in votes or p[1] not in votes[p[0]][0] or p[2] not in votes[p[0]][1]]  # fmt: skip
    return {
        "counts": counts,
        "pairs": f"{wrong[0]} is no pair of a thumbs-up and a thumbs-down response"
        if wrong
        else "a pair comes twice"
        if len(set(pairs)) < len(pairs)
        else "each a thumbs-up and a thumbs-down response of its prompt",
        "inputs": "unchanged" if args[0] == votes else "`votes` was changed by your function; work on a copy",
    }


def _votes(sizes):
    return {
        f"prompt {i}": ([f"{i} good {k}" for k in range(up)], [f"{i} bad {k}" for k in range(down)])
        for i, (up, down) in enumerate(sizes)
    }


def _pair_cases(draw):
    sizes = [(draw.integer(2, 5), draw.integer(2, 5)) for _ in range(5)]
    return [
        Case((_votes([(1, 3), (4, 4), (3, 3)]), 4), label="cap 4: 3, 16 and 9 pairs to be had"),
        Case((_votes([(3, 3), (1, 1), (5, 5), (2, 1)]), 6), label="cap 6: 9, 1, 25 and 2 pairs to be had"),
        Case((_votes([(1, 1), *sizes, (0, 4), (3, 0), (6, 6)]), 3), label="cap 3, nine prompts"),
        Case((_votes([(1, 2), (4, 3)]),), label="the default cap"),
        Case((_votes([(7, 7), (1, 1), (3, 5)]), 5), label="cap 5: 49, 1 and 15 pairs to be had"),
    ]


BUG_02 = _bug(
    2,
    "capped_pairs",
    capped_pairs,
    (
        Part("as many pairs for each prompt as the cap allows", 2, _pair_cases, ("counts",)),
        Part("distinct right pairs, votes unchanged", 1, _pair_cases, ("pairs", "inputs")),
    ),
    (
        (
            "capped-in-all",
            _pairs_capped_in_all,
            "the cap holds for all prompts together; it is meant for each",
        ),
        ("inner-break", _pairs_inner_break, "only the inner loop ends at the cap; the outer one goes on"),
        (
            "per-thumbs-up",
            _pairs_per_up,
            "the cap holds for each thumbs-up response; it is meant for each prompt",
        ),
        ("sides-cut", _pairs_sides_cut, "each side was cut to the cap: that allows cap² pairs for a prompt"),
        ("zipped", _pairs_zipped, "each response is used once only; there are more pairs to be had"),
        ("one-too-many", _pairs_one_too_many, "a prompt can get one pair more than the cap"),
        ("no-cap", _pairs_no_cap, "the cap is gone altogether"),
        ("turned", _pairs_turned, "chosen and rejected are exchanged"),
        (
            "as-shown",
            _pairs_shown,
            "how many pairs a prompt gets depends on how many the prompts before it got",
        ),
    ),
    {"drawn": _pairs_drawn, "a counter": _pairs_counted, "a function of one prompt": _pairs_returning},
    (
        "Try three prompts with many responses each, and a first one with few; count the pairs of each prompt.",
        "What does `len(pairs)` count: the pairs of this prompt?",
        "Keep a list of the pairs of one prompt, cut it, and only then add it to the others.",
    ),
    _observe_pairs,
)


# --- bug-03: the answer cut out of the text by characters -------------------------------------------


class Tokens:
    """A small tokenizer: words are tokens; decoding drops <s> and puts one space between words."""

    bos = 0

    def __init__(self, texts):
        words = dict.fromkeys(word for text in texts for word in text.split())
        self.words = ["<s>", "</s>", *(word for word in words if word not in ("<s>", "</s>"))]

    def encode(self, text):
        """Token ids, with <s> in front where the text does not begin with it."""
        ids = [self.words.index(word) for word in text.split()]
        return ids if ids[:1] == [self.bos] else [self.bos, *ids]

    def decode(self, ids, skip_special_tokens=False):
        """The text of token ids."""
        words = [self.words[int(i)] for i in ids]
        return " ".join(w for w in words if not (skip_special_tokens and w in ("<s>", "</s>")))

    def __deepcopy__(self, memo):
        return self  # nothing in it changes


def new_text(tokenizer, prompt, output_ids):
    """The text that the model wrote after the prompt. output_ids: the prompt's ids and the new ones."""
    start = len(tokenizer.encode(prompt))
    return tokenizer.decode(output_ids[start:], skip_special_tokens=True)


def _cut_shown(tokenizer, prompt, output_ids):
    text = tokenizer.decode(output_ids, skip_special_tokens=True)
    return text[len(prompt) :].strip()


def _cut_replaced(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids, skip_special_tokens=True).replace(prompt, "").strip()


def _cut_with_specials(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids)[len(prompt) :].strip()


def _cut_keeps_end(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(tokenizer.encode(prompt)) :])


def _cut_by_words(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(prompt.split()) :], skip_special_tokens=True)


def _cut_by_characters_of_ids(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(prompt) :], skip_special_tokens=True)


def _cut_one_late(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids[len(tokenizer.encode(prompt)) + 1 :], skip_special_tokens=True)


def _cut_nothing(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids, skip_special_tokens=True)


def _cut_at_mark(tokenizer, prompt, output_ids):
    return tokenizer.decode(output_ids, skip_special_tokens=True).split("[/INST]")[-1].strip()


def _cut_decoded_prompt(tokenizer, prompt, output_ids):
    """By characters, but those of the prompt as it comes back from the tokenizer."""
    shown = tokenizer.decode(tokenizer.encode(prompt), skip_special_tokens=True)
    return tokenizer.decode(output_ids, skip_special_tokens=True)[len(shown) :].strip()


def _cut_by_token(tokenizer, prompt, output_ids):
    ids = list(output_ids)
    for _ in tokenizer.encode(prompt):
        ids.pop(0)
    return tokenizer.decode(ids, True)


def _cut_prefix(tokenizer, prompt, output_ids):
    whole = tokenizer.decode(list(output_ids), skip_special_tokens=True)
    return whole.removeprefix(tokenizer.decode(tokenizer.encode(prompt), skip_special_tokens=True)).lstrip()


def _answer_case(prompt, answer):
    tokenizer = Tokens([prompt, answer])
    ids = tokenizer.encode(prompt) + [tokenizer.words.index(w) for w in answer.split()] + [1]
    return Case((tokenizer, prompt, ids), label=f"{prompt!r}")


def _answer_cases(draw):
    words = [f"w{i}" for i in draw.permutation(30)]
    a, b, c = " ".join(words[:5]), " ".join(words[5:9]), " ".join(words[9:16])
    return [
        _answer_case("<s> [INST] What is the capital of France? [/INST]", "Paris is the capital."),
        _answer_case(f"<s> [INST] {a} [/INST]", c),
        _answer_case(f"[INST] {a}   {b} [/INST]", c),
        _answer_case(f"{b}\n\n{a}\n", f"{c} [/INST] {b}"),  # the mark is part of the answer
        _answer_case(f"<s> [INST] {b} [/INST]", f"{a} {b} {a}"),  # the prompt's words come again
        _answer_case("hm  ?", "hm ? hm ?"),
        _answer_case(b, a),
    ]


BUG_03 = _bug(
    3,
    "new_text",
    new_text,
    (Part("the answer whole, and nothing else", 3, _answer_cases),),
    (
        ("replaced", _cut_replaced, "the prompt is sought in the text, but decoding has changed it"),
        (
            "specials-kept",
            _cut_with_specials,
            "special tokens are kept now; so the answer's own end token is kept too, and spaces still differ",
        ),
        ("end-token-kept", _cut_keeps_end, "the end token </s> is part of the answer now"),
        (
            "words-counted",
            _cut_by_words,
            "the prompt's words are counted, but the tokenizer may put a token in front of them",
        ),
        (
            "characters-of-ids",
            _cut_by_characters_of_ids,
            "ids are cut now, but as many as the prompt has characters",
        ),
        ("one-too-late", _cut_one_late, "the answer loses its first token"),
        ("nothing-cut", _cut_nothing, "the prompt is part of the answer now"),
        (
            "at-the-mark",
            _cut_at_mark,
            "the answer begins after [/INST] now; not every prompt has it, and an answer may hold it",
        ),
        (
            "as-shown",
            _cut_shown,
            "as many characters as the prompt has are cut off a text in which the prompt has become shorter: "
            "its special tokens and double spaces are gone, so the answer loses its beginning",
        ),
    ),
    {
        "characters of the decoded prompt": _cut_decoded_prompt,
        "token by token": _cut_by_token,
        "prefix": _cut_prefix,
    },
    (
        'Call it with a prompt that begins with "<s>" and look at the first letters of the answer.',
        "encode and decode do not give back the same text: compare the lengths of `prompt` and of the decoded prompt.",
        "Cut the ids, not the text: how many ids does the prompt have?",
    ),
)


# --- bug-04: votes that were not cast ---------------------------------------------------------------


def approval(log):
    """The share of thumbs-up among the rated turns, nan where none is rated.

    log: dicts with "feedback": "thumbs_up", "thumbs_down", or None where nobody voted.
    """
    votes = [row["feedback"] for row in log if row["feedback"] is not None]
    return votes.count("thumbs_up") / len(votes) if votes else float("nan")


def _approval_shown(log):
    ups = [row["feedback"] == "thumbs_up" for row in log]
    return sum(ups) / len(ups)


def _approval_of_not_down(log):
    return sum(row["feedback"] != "thumbs_down" for row in log) / len(log)


def _approval_zero(log):
    votes = [row["feedback"] for row in log if row["feedback"]]
    return votes.count("thumbs_up") / max(len(votes), 1)


def _approval_none_of_none(log):
    votes = [row["feedback"] for row in log if row["feedback"]]
    return votes.count("thumbs_up") / len(votes)


def _approval_half(log):
    worth = {"thumbs_up": 1, "thumbs_down": 0, None: 0.5}
    return sum(worth[row["feedback"]] for row in log) / len(log) if log else float("nan")


def _approval_ratio(log):
    votes = [row["feedback"] for row in log]
    downs = votes.count("thumbs_down")
    return votes.count("thumbs_up") / downs if downs else float("nan")


def _approval_rated(log):
    return sum(row["feedback"] is not None for row in log) / len(log) if log else float("nan")


def _approval_dropping(log):
    result = approval(log)
    log[:] = [row for row in log if row["feedback"] is not None]
    return result


def _approval_pandas(log):
    votes = pd.Series([row["feedback"] for row in log], dtype=object).dropna()
    return (votes == "thumbs_up").mean()


def _approval_numpy(log):
    worth = {"thumbs_up": 1.0, "thumbs_down": 0.0}
    return float(np.nanmean([worth.get(row["feedback"], np.nan) for row in log]))


def _approval_counting(log):
    up = down = 0
    for row in log:
        match row:
            case {"feedback": "thumbs_up"}:
                up += 1
            case {"feedback": "thumbs_down"}:
                down += 1
    try:
        return up / (up + down)
    except ZeroDivisionError:
        return math.nan


def _log(draw, ups, downs, nones):
    votes = ["thumbs_up"] * ups + ["thumbs_down"] * downs + [None] * nones
    return [{"turn": i, "feedback": votes[k]} for i, k in enumerate(draw.permutation(len(votes)))]


def _approval_cases(draw):
    u, d, n = draw.integer(20, 60), draw.integer(5, 19), draw.integer(70, 200)
    return [
        Case((_log(draw, 13, 7, 80),), label="13 up, 7 down, 80 not rated"),
        Case((_log(draw, u, d, n),), label=f"{u} up, {d} down, {n} not rated"),
        Case((_log(draw, 3, 0, 9),), label="3 up, 9 not rated"),
        Case((_log(draw, 2, 9, 1),), label="2 up, 9 down, 1 not rated"),
    ]


def _approval_edges(draw):
    return [
        Case((_log(draw, 0, 0, draw.integer(3, 9)),), label="nothing rated"),
        Case((_log(draw, 3, 2, 2),), label="3 up, 2 down, 2 not rated"),
    ]


BUG_04 = _bug(
    4,
    "approval",
    approval,
    (
        Part("the share among the rated turns", 2, _approval_cases),
        Part("nan where nothing is rated, log unchanged", 1, _approval_edges, ("result", "inputs")),
    ),
    (
        (
            "all-but-thumbs-down",
            _approval_of_not_down,
            "a turn that nobody rated counts as if it had been liked",
        ),
        (
            "half-a-vote",
            _approval_half,
            "a turn that nobody rated counts as half a thumbs-up; it is no vote at all",
        ),
        (
            "zero-of-none",
            _approval_zero,
            "without a vote the approval is said to be 0; it is not known (nan)",
        ),
        (
            "none-of-none",
            _approval_none_of_none,
            "without a vote it divides by zero; the docstring says what comes back then",
        ),
        ("up-by-down", _approval_ratio, "this is thumbs-up by thumbs-down, not the share among both"),
        ("share-rated", _approval_rated, "this is the share of turns that were rated"),
        (
            "log-changed",
            _approval_dropping,
            "the log that was given has lost its unrated turns; work on a copy",
        ),
        (
            "as-shown",
            _approval_shown,
            "a turn that nobody rated counts as if it had been disliked: where few vote, approval seems to fall",
        ),
    ),
    {"pandas": _approval_pandas, "numpy": _approval_numpy, "counting": _approval_counting},
    (
        "Call it with one thumbs-up and nine turns that nobody rated.",
        'What does None == "thumbs_up" give, and what is it divided by?',
        "Take the votes out of the log first; the rest is as it was.",
    ),
)


# --- bug-05: votes joined without a look at them ----------------------------------------------------


def join_votes(requests, votes):
    """Training rows from votes: prompt, response, model and label (True for thumbs-up), one for each request.

    requests: {request_id: {"prompt", "response", "model"}}; votes: dicts with "request_id" and
    "feedback", in the order in which they came. Votes for requests that were never made, and words other
    than "thumbs_up" and "thumbs_down", are left out; of several votes for a request the last one counts.
    """
    valid = {"thumbs_up": True, "thumbs_down": False}
    labels = {}
    for vote in votes:
        if vote["request_id"] in requests and vote["feedback"] in valid:
            labels[vote["request_id"]] = valid[vote["feedback"]]
    return [{**requests[id], "label": label} for id, label in labels.items()]


def _join(known=True, words=True, last=True, first=False):
    """The join with only some of the three things mended."""

    def answer(requests, votes):
        rows = []
        for vote in votes:
            if known and vote["request_id"] not in requests:
                continue
            if words and vote["feedback"] not in ("thumbs_up", "thumbs_down"):
                continue
            request = requests.get(vote["request_id"], {})
            row = {key: request.get(key) for key in ("prompt", "response", "model")}
            rows.append((vote["request_id"], row | {"label": vote["feedback"] == "thumbs_up"}))
        if first:
            rows = rows[::-1]
        return list(dict(rows).values()) if last or first else [row for _, row in rows]

    return answer


def _join_raising(requests, votes):
    for vote in votes:
        if vote["request_id"] not in requests:
            raise KeyError(vote["request_id"])
    return join_votes(requests, votes)


def _join_last_before_words(requests, votes):
    """The last vote is found before words are looked at: a wrong word wipes out the vote before it."""
    last = {v["request_id"]: v["feedback"] for v in votes if v["request_id"] in requests}
    return [
        {**requests[id], "label": word == "thumbs_up"}
        for id, word in last.items()
        if word in ("thumbs_up", "thumbs_down")
    ]


def _join_by_prompt(requests, votes):
    """One row a prompt instead of one a request."""
    return list({row["prompt"]: row for row in join_votes(requests, votes)}.values())


def _join_pandas(requests, votes):
    table = pd.DataFrame(votes, columns=["request_id", "feedback"])
    table = table[table["feedback"].isin(["thumbs_up", "thumbs_down"])]
    table = table.drop_duplicates("request_id", keep="last")
    known = pd.DataFrame.from_dict(requests, orient="index").rename_axis("request_id").reset_index()
    joined = known.merge(table, on="request_id")
    joined["label"] = joined.pop("feedback") == "thumbs_up"
    return joined[["prompt", "response", "model", "label"]].to_dict("records")


def _join_backwards(requests, votes):
    seen, rows = set(), []
    for vote in reversed(votes):
        id, word = vote["request_id"], vote["feedback"]
        if id in seen or id not in requests or word not in {"thumbs_up", "thumbs_down"}:
            continue
        seen.add(id)
        rows.append(dict(requests[id], label=word.endswith("up")))
    return rows[::-1]


def _join_by_request(requests, votes):
    rows = []
    for id, request in requests.items():
        mine = [
            v["feedback"]
            for v in votes
            if v["request_id"] == id and v["feedback"] in ("thumbs_up", "thumbs_down")
        ]
        if mine:
            rows.append(request | {"label": mine[-1] == "thumbs_up"})
    return rows


def _observe_rows(function, case):
    """The rows in an order of their own: theirs is free."""
    args = copy.deepcopy(case.args)
    try:
        rows = [
            ", ".join(f"{key} {_plain(row[key])}" for key in sorted(row))
            for row in _records(quietly(function, *args))
        ]
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    return {"result": sorted(rows), "inputs": changed_inputs((case.args, {}), (args, {}))}


def _records(rows):
    return rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows


def _plain(value):
    return bool(value) if isinstance(value, (bool, np.bool_)) else value


def _requests(draw, n):
    start = draw.integer(100, 900)
    return {
        f"r{start + i}": {"prompt": f"question {i % 4}", "response": f"answer {i}", "model": f"v{i % 2}"}
        for i in range(n)
    }


def _vote(id, up=True, word=None):
    return {"request_id": id, "feedback": word or ("thumbs_up" if up else "thumbs_down")}


def _known_cases(draw):
    requests = _requests(draw, 6)
    ids = list(requests)
    votes = [_vote(ids[3]), _vote("never-issued"), _vote(ids[0], False), _vote("r1", False), _vote(ids[5])]
    return [Case((requests, votes), label="six requests, five votes, two of them for other requests")]


def _word_cases(draw):
    requests = _requests(draw, 6)
    ids = list(requests)
    votes = [
        _vote(ids[2]),
        _vote(ids[4], word="banana"),
        _vote(ids[1], False),
        _vote(ids[0], word="THUMBS_UP"),
    ]
    return [Case((requests, votes), label='four votes, of which one is "banana" and one in capitals')]


def _last_cases(draw):
    requests = _requests(draw, 6)
    a, b, c, d, *_ = requests
    votes = [_vote(a), _vote(b, False), _vote(a), _vote(c), _vote(c, False), _vote(b), _vote(d)]
    return [Case((requests, votes), label="seven votes for four requests")]


def _join_cases(draw):
    requests = _requests(draw, 9)
    ids = list(requests)
    votes = [
        _vote(ids[i], up)
        for i, up in zip([*draw.permutation(9), *draw.permutation(9)[:5]], [True, False] * 7, strict=True)
    ]
    # a wrong word after a right one leaves the right one standing
    votes += [_vote(ids[0], word="banana"), _vote("never-issued"), _vote(ids[1], word="thumbs up")]
    return [
        Case((requests, votes), label="17 votes for nine requests and an unknown one"),
        Case((requests, votes[:3]), label="three votes for nine requests"),
    ]


BUG_05 = _bug(
    5,
    "join_votes",
    join_votes,
    (
        Part("votes for unknown requests", 1, _known_cases, independent=True),
        Part("words that are no vote", 1, _word_cases, independent=True),
        Part("several votes for one request", 1, _last_cases, independent=True),
        Part("all together, inputs unchanged", 1, _join_cases, ("result", "inputs"), independent=True),
    ),
    (
        ("unknown-kept", _join(known=False), "votes for requests that were never made still give rows"),
        ("words-kept", _join(words=False), "any word that is not thumbs_up still counts as thumbs-down"),
        ("repeated", _join(last=False), "a request with several votes still gives several rows"),
        ("only-unknown", _join(True, False, False), "two more things are wrong with votes than the request"),
        (
            "only-words",
            _join(False, True, False),
            "the words are looked at now, but two more things are wrong",
        ),
        (
            "only-last",
            _join(False, False, True),
            "repeated votes are looked at now, but two more things are wrong",
        ),
        ("first", _join(first=True, last=False), "of several votes the first one counts; the last should"),
        ("raising", _join_raising, "one unknown request stops everything; its vote is to be left out"),
        (
            "wiped-out",
            _join_last_before_words,
            "a word that is no vote wipes out the valid vote before it",
        ),
        ("by-prompt", _join_by_prompt, "requests with the same prompt are taken for one"),
        (
            "as-shown",
            _join(False, False, False),
            "any vote becomes a training row: for a request that was never made, with a word that is no vote "
            "(it counts as thumbs-down), and once more for every repetition",
        ),
    ),
    {"pandas": _join_pandas, "backwards": _join_backwards, "request by request": _join_by_request},
    (
        'Call it with a vote for a request that does not exist, with the word "banana", and with the same vote twice.',
        "Three things are to be looked at, vote by vote, before a row is made.",
        "A dict from request to label forgets all but the last vote; let only valid votes into it.",
    ),
    _observe_rows,
)


# --- bug-06: a blocking call on the event loop ------------------------------------------------------

_PATIENCE = 0.7  # seconds; only wrong answers are waited for


async def chat(prompt, generate):
    """Answer a request; while the model generates, the service goes on with other requests."""
    return await asyncio.to_thread(generate, prompt)


async def _chat_shown(prompt, generate):
    return generate(prompt)


async def _chat_yielding(prompt, generate):
    await asyncio.sleep(0)
    return generate(prompt)


async def _chat_joining(prompt, generate):
    found = []
    thread = threading.Thread(target=lambda: found.append(generate(prompt)))
    thread.start()
    thread.join()
    return found[0]


async def _chat_in_a_task(prompt, generate):
    async def work():
        return generate(prompt)

    return await asyncio.create_task(work())


async def _chat_not_awaited(prompt, generate):
    return asyncio.to_thread(generate, prompt)


_LOCKS = {}


async def _chat_locked(prompt, generate):
    lock = _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock:
        return await asyncio.to_thread(generate, prompt)


async def _chat_swallowing(prompt, generate):
    try:
        return await asyncio.to_thread(generate, prompt)
    except Exception:
        return ""


async def _chat_executor(prompt, generate):
    return await asyncio.get_running_loop().run_in_executor(None, generate, prompt)


async def _chat_own_executor(prompt, generate):
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max_workers=4)
    try:
        return await asyncio.wrap_future(pool.submit(functools.partial(generate, prompt)))
    finally:
        pool.shutdown(wait=False)


async def _chat_thread(prompt, generate):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def set_(kind, value):
        loop.call_soon_threadsafe(getattr(future, kind), value)

    def work():
        try:
            set_("set_result", generate(prompt))
        except Exception as error:
            set_("set_exception", error)

    threading.Thread(target=work, daemon=True).start()
    return await future


class _Service:
    """A loop with two requests under way, and a generator that sees whether the loop goes on meanwhile."""

    def __init__(self):
        self.entered, self.opened = threading.Event(), threading.Event()
        self.both = threading.Barrier(2)
        self.blocked = self.on_the_loop = self.alone = False

    def generate(self, prompt):
        if threading.get_ident() == self.loop_thread:
            self.blocked = self.on_the_loop = True
            return f"answer to {prompt}"
        self.entered.set()
        self.blocked = self.blocked or not self.opened.wait(_PATIENCE)
        try:
            self.both.wait(0 if self.blocked else _PATIENCE)
        except threading.BrokenBarrierError:
            self.alone = True
        return f"answer to {prompt}"

    async def run(self, function, prompts):
        self.loop_thread = threading.get_ident()
        opening = asyncio.create_task(self._open())
        asked = [function(prompt, self.generate) for prompt in prompts]
        if not all(map(inspect.isawaitable, asked)):
            opening.cancel()
            return None
        answers = await asyncio.gather(*asked)
        opening.cancel()
        for answer in answers:
            if asyncio.iscoroutine(answer):
                answer.close()  # else Python warns that nobody awaited it
        return list(answers)

    async def _open(self):
        while not self.entered.is_set():
            await asyncio.sleep(0.002)
        self.opened.set()


def _in_a_thread(coroutine):
    """Run a coroutine in a loop of its own: a notebook has one running already."""
    found = []

    def work():
        try:
            found.append(quietly(asyncio.run, coroutine()))
        except Exception as error:  # handed over to the caller
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _observe_service(function, case):
    service, prompts = _Service(), list(case.args)
    try:
        if case.extra:
            return {"error of the model": _in_a_thread(lambda: _failing(function))}
        answers = _in_a_thread(lambda: service.run(function, prompts))
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    if answers is None:
        words = Missing("chat is no async function any more: what it returns cannot be awaited")
        return {"loop": words, "answers": words}
    odd = [a for a in answers if not isinstance(a, str)]
    words = "other requests go on"
    if service.on_the_loop:
        words = "the model runs on the event loop itself, and other requests wait"
    elif service.blocked:
        words = "the event loop waits for the model's thread, and other requests wait"
    elif service.alone:
        words = "one answer is generated after the other"
    return {
        "loop": words if not odd else f"a {type(odd[0]).__name__} came back, not an answer",
        "answers": answers if not odd else "not texts",
    }


async def _failing(function):
    def generate(prompt):
        raise RuntimeError("out of memory")

    try:
        answer = await function("hello", generate)
    except RuntimeError as error:
        return f"{error} comes through"
    if asyncio.iscoroutine(answer):
        answer.close()  # else Python warns that nobody awaited it
        return "a coroutine came back"
    return f"{answer!r} came back, as if nothing had happened"


def _service_cases(draw):
    return [Case((f"question {draw.integer(1, 99)}", "another question"), label="two requests at a time")]


def _error_cases(draw):
    return [Case(("hello",), label="a model that raises", extra=True)]


BUG_06 = _bug(
    6,
    "chat",
    chat,
    (
        Part("other requests go on meanwhile", 2, _service_cases, ("loop",)),
        Part("each request gets its answer", 0.5, _service_cases, ("answers",)),
        Part("an error of the model comes through", 0.5, _error_cases, ("error of the model",)),
    ),
    (
        (
            "thread-joined",
            _chat_joining,
            "the model runs in a thread now, but the event loop waits for it all the same",
        ),
        (
            "not-async",
            lambda prompt, generate: generate(prompt),
            "it is no async function any more, so that the service cannot await it",
        ),
        (
            "not-awaited",
            _chat_not_awaited,
            "what comes back is not the answer but something to be awaited",
        ),
        ("locked", _chat_locked, "a lock lets only one request at a time through to the model"),
        (
            "error-swallowed",
            _chat_swallowing,
            "an error of the model is swallowed: the client gets an empty answer",
        ),
        (
            "as-shown",
            _chat_shown,
            "the call of the model blocks the event loop: until the answer is there no other request is served, "
            "not even a vote or a health check",
        ),
    ),
    {"executor": _chat_executor, "own pool": _chat_own_executor, "a thread and a future": _chat_thread},
    (
        "`async` alone makes nothing run beside anything: who could do something else while generate(prompt) runs?",
        "A function that is not async and takes long belongs into a thread.",
        "asyncio has a function that runs another one in a thread and can be awaited; look at its documentation for to_…",
    ),
    _observe_service,
)


# --- bug-07: a test repeated every week -------------------------------------------------------------


def _z(up_c, n_c, up_t, n_t):
    p = (up_c + up_t) / (n_c + n_t)
    return (up_t / n_t - up_c / n_c) / math.sqrt(p * (1 - p) * (1 / n_c + 1 / n_t))


def _z_by_week(weeks):
    """z of all votes so far, at each week."""
    return [_z(*totals) for totals in np.cumsum(np.array(weeks), axis=0).tolist()]


def first_alarm(weeks, planned=12):
    """The first week (from 1) at which the arms differ, or None.

    weeks: (thumbs-up of control, its votes, thumbs-up of treatment, its votes) week by week, up to the
    `planned` number. Without an effect, at most one experiment in twenty gives an alarm in all its weeks
    together. (Here: the bounds of O'Brien and Fleming, 1979.)
    """
    # equally spaced looks; 2.178 is a little above the constant for up to 20 looks, so on the safe side
    for week, z in enumerate(_z_by_week(weeks), start=1):
        if abs(z) > 2.178 * math.sqrt(planned / week):
            return week
    return None


def _alarm_shown(weeks, planned=12):
    up_c = n_c = up_t = n_t = 0
    for week, (a, b, c, d) in enumerate(weeks, start=1):
        up_c, n_c, up_t, n_t = up_c + a, n_c + b, up_t + c, n_t + d
        p = (up_c + up_t) / (n_c + n_t)
        z = (up_t / n_t - up_c / n_c) / math.sqrt(p * (1 - p) * (1 / n_c + 1 / n_t))
        if abs(z) > 1.96:
            return week
    return None


def _alarm(condition):
    """The first week at which condition(z so far, week, planned) holds."""

    def answer(weeks, planned=12):
        z = _z_by_week(weeks)
        return next((w for w in range(1, len(z) + 1) if condition(z[:w], w, planned)), None)

    return answer


def _alarm_own_weeks(weeks, planned=12):
    """Each week for itself."""
    return next((w for w, week in enumerate(weeks, start=1) if abs(_z(*week)) > 1.96), None)


def _alarm_week_bonferroni(weeks, planned=12):
    bound = stats.norm.isf(0.025 / planned)
    return next((w for w, z in enumerate(_z_by_week(weeks), 1) if abs(z) > bound), None)


def _alarm_once(weeks, planned=12):
    if len(weeks) < planned:
        return None
    totals = [sum(column) for column in zip(*weeks, strict=True)]
    return len(weeks) if abs(_z(*totals)) > 1.96 else None


def _alarm_msprt(weeks, planned=12):
    up_c = n_c = up_t = n_t = 0
    for week, (a, b, c, d) in enumerate(weeks, start=1):
        up_c, n_c, up_t, n_t = up_c + a, n_c + b, up_t + c, n_t + d
        p, q, tau2 = up_c / n_c, up_t / n_t, 0.03**2
        s = p * (1 - p) / n_c + q * (1 - q) / n_t
        if math.sqrt(s / (s + tau2)) * math.exp(tau2 * (q - p) ** 2 / (2 * s * (s + tau2))) >= 20:
            return week
    return None


def _alarm_pocock(weeks, planned=12):
    for week, z in enumerate(_z_by_week(weeks)):
        if z**2 > 2.60**2:
            return week + 1


@functools.lru_cache(maxsize=16)
def _experiments(seed):
    """(quiet, different): experiments of 12 weeks on which every valid rule gives the same verdict.

    Quiet ones have no effect and pass 1.96 at some week, none at the end, and stay well inside the
    bounds of all usual sequential rules (Pocock 2.59, O'Brien and Fleming 2.10 √(12 / week)).
    """
    rng = np.random.default_rng(seed)
    votes = rng.integers(380, 520, (4000, 12, 2))
    ups = rng.binomial(votes, 0.65)
    weeks = np.stack([ups[..., 0], votes[..., 0], ups[..., 1], votes[..., 1]], axis=-1)
    up_c, n_c, up_t, n_t = np.moveaxis(weeks.cumsum(axis=1), -1, 0)
    p = (up_c + up_t) / (n_c + n_t)
    z = np.abs(up_t / n_t - up_c / n_c) / np.sqrt(p * (1 - p) * (1 / n_c + 1 / n_t))
    bound = np.minimum(2.45, 0.95 * 2.098 * np.sqrt(12 / np.arange(1, 13)))
    decoy = (z < bound).all(1) & (z[:, -1] < 1.5)
    high = z > 1.96
    twice = (high[:, 1:] & high[:, :-1]).any(1)
    late = high[:, 5:].any(1)
    early = high[:, :3].any(1)
    strong = (z > 2.25).any(1)
    quiet = [
        np.flatnonzero(decoy & kind)[:3] for kind in (twice, late & twice, early, strong & late, ~high.any(1))
    ]
    different = []
    for lift in (0.12, -0.12, 0.09):
        ups_t = rng.binomial(votes[0, :, 1], 0.65 + lift)
        different.append(np.stack([ups[0, :, 0], votes[0, :, 0], ups_t, votes[0, :, 1]], axis=-1))
    pick = [[tuple(w) for w in weeks[i].tolist()] for i in dict.fromkeys(np.concatenate(quiet).tolist())]
    return pick, [[tuple(w) for w in d.tolist()] for d in different]


def _quiet_cases(draw):
    quiet, _ = _experiments(draw.integer(0, 2**31))
    short = [weeks[: 6 + i % 5] for i, weeks in enumerate(quiet[:3])]
    cases = [(weeks, "twelve weeks without an effect") for weeks in quiet]
    cases += [(weeks, f"{len(weeks)} of twelve weeks without an effect") for weeks in short]
    return [Case((weeks,), label=label) for weeks, label in cases]


def _different_cases(draw):
    _, different = _experiments(draw.integer(0, 2**31))
    labels = ("twelve points better", "twelve points worse", "nine points better")
    return [Case((weeks,), label=label) for weeks, label in zip(different, labels, strict=True)]


def _both_cases(draw):
    """Experiments with an effect beside those without: neither `never` nor `always` may earn a part."""
    return _quiet_cases(draw) + _different_cases(draw)


def _observe_alarm(function, case):
    """Whether there is an alarm; which week a valid rule alarms at is its own affair."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    week = seen["result"]
    if week is None:
        words = "no alarm"
    elif isinstance(week, (int, np.integer)) and not isinstance(week, bool):
        words = "an alarm" if 1 <= week <= len(case.args[0]) else f"{week}, which is no week"
    else:
        words = f"a {type(week).__name__}"
    return {"result": words, "inputs": seen["inputs"]}


BUG_07 = _bug(
    7,
    "first_alarm",
    first_alarm,
    (
        Part("no alarm where there is no effect, an alarm where it is clear", 3.5, _both_cases),
        Part("weeks unchanged", 0.5, _different_cases, ("inputs",)),
    ),
    (
        (
            "twice-in-a-row",
            _alarm(lambda z, w, planned: w > 1 and min(abs(z[-1]), abs(z[-2])) > 1.96),
            "two weeks in a row must alarm now; but the weeks' totals are nearly the same votes, so that still happens too often",
        ),
        (
            "first-weeks-skipped",
            _alarm(lambda z, w, planned: w > 3 and abs(z[-1]) > 1.96),
            "the first weeks give no alarm now, but the test is still repeated in all the others",
        ),
        (
            "slightly-stricter",
            _alarm(lambda z, w, planned: abs(z[-1]) > 2.17),
            "the bound is somewhat stricter (3 %), but not enough for twelve looks",
        ),
        (
            "weeks-apart",
            _alarm_own_weeks,
            "each week is tested for itself now, and still twelve times at 5 %",
        ),
        (
            "as-shown",
            _alarm_shown,
            "a test at 5 % is repeated every week until it rejects: in twelve weeks without an effect about one "
            "experiment in five gives an alarm",
        ),
        (
            "one-sided-bonferroni",
            _alarm(lambda z, w, planned: z[-1] > 2.87),
            "a treatment that is clearly worse gives no alarm any more",
        ),
        (
            "one-sided",
            _alarm(lambda z, w, planned: z[-1] > 1.96),
            "only a better treatment gives an alarm now, and the test is still repeated",
        ),
        ("never", lambda weeks, planned=12: None, "it never gives an alarm, however large the effect"),
        ("always", lambda weeks, planned=12: 1, "it always gives an alarm"),
        (
            "bool",
            lambda weeks, planned=12: first_alarm(weeks, planned) is not None,
            "a bool came back; the week, or None, is wanted",
        ),
    ),
    {
        "Bonferroni": _alarm_week_bonferroni,
        "one look": _alarm_once,
        "mSPRT": _alarm_msprt,
        "Pocock": _alarm_pocock,
    },
    (
        "Simulate experiments without an effect and count how many give an alarm in some week.",
        "Twelve chances to be wrong at 5 % each are more than one. Either look once, or make each look stricter.",
        "Any valid rule will do: one look at the planned end; 5 % divided by the number of looks; a bound such as O'Brien and Fleming's.",
    ),
    _observe_alarm,
)


# --- bug-08: a reference that moves with the policy -------------------------------------------------


def online_rounds(policy, collect, train, rounds=3):
    """Rounds of online KTO: collect votes on the policy's own answers, train on them; the last policy.

    policy: a torch module. collect(policy) gives the votes; train(policy, reference, votes) changes the
    policy's weights and gives it back. The reference is the policy as it was before the first round.
    """
    reference = copy.deepcopy(policy)
    for _ in range(rounds):
        votes = collect(policy)
        policy = train(policy, reference, votes)
    return policy


def _rounds_shown(policy, collect, train, rounds=3):
    reference = policy
    for _ in range(rounds):
        votes = collect(policy)
        policy = train(policy, reference, votes)
    return policy


def _rounds_shallow(policy, collect, train, rounds=3):
    reference = copy.copy(policy)
    for _ in range(rounds):
        policy = train(policy, reference, collect(policy))
    return policy


def _rounds_each(policy, collect, train, rounds=3):
    for _ in range(rounds):
        reference = copy.deepcopy(policy)
        policy = train(policy, reference, collect(policy))
    return policy


def _rounds_last(policy, collect, train, rounds=3):
    """The reference trails by a round."""
    reference = copy.deepcopy(policy)
    for _ in range(rounds):
        before = copy.deepcopy(policy)
        policy = train(policy, reference, collect(policy))
        reference = before
    return policy


def _rounds_collected_once(policy, collect, train, rounds=3):
    reference, votes = copy.deepcopy(policy), collect(policy)
    for _ in range(rounds):
        policy = train(policy, reference, votes)
    return policy


def _rounds_from_reference(policy, collect, train, rounds=3):
    reference = copy.deepcopy(policy)
    for _ in range(rounds):
        policy = train(policy, reference, collect(reference))
    return policy


def _rounds_restarting(policy, collect, train, rounds=3):
    reference = copy.deepcopy(policy)
    for _ in range(rounds):
        policy = train(copy.deepcopy(reference), reference, collect(policy))
    return policy


def _rounds_one(policy, collect, train, rounds=3):
    return online_rounds(policy, collect, train, 1)


def _rounds_reference_back(policy, collect, train, rounds=3):
    reference = copy.deepcopy(policy)
    for _ in range(rounds):
        policy = train(policy, reference, collect(policy))
    return reference


def _rounds_state(policy, collect, train, rounds=3):
    """A second module of the same kind, with the weights of the start."""
    start = {name: value.clone() for name, value in policy.state_dict().items()}
    for _ in range(rounds):
        reference = copy.deepcopy(policy)
        reference.load_state_dict(start)
        policy = train(policy, reference, collect(policy))
    return policy


def _rounds_policy_copied(policy, collect, train, rounds=3):
    reference, policy = policy, copy.deepcopy(policy)
    for _ in range(rounds):
        policy = train(policy, reference, collect(policy))
    return policy


def _rounds_pickled(policy, collect, train, rounds=3):
    import pickle

    frozen = pickle.loads(pickle.dumps(policy)).eval().requires_grad_(False)
    while rounds:
        policy, rounds = train(policy, frozen, collect(policy)), rounds - 1
    return policy


def _observe_rounds(function, case):
    """What collect and train were given, as weights, and what came back."""
    import torch

    (weight, step), log = case.args, []
    policy = torch.nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        policy.weight.fill_(weight)

    def collect(policy):
        log.append(("collected from", policy.weight.item()))
        return f"votes on {policy.weight.item():g}"

    def train(policy, reference, votes):
        before = reference.weight.item()
        with torch.no_grad():
            policy.weight += step
        moved = "" if reference.weight.item() == before else " and moves with the policy"
        same = ", the policy itself" if reference is policy else ""
        log.append(("trained against", f"weight {before:g}{moved}{same}"))
        log.append(("trained on", votes))
        return policy

    try:
        result = quietly(function, policy, collect, train, **case.kwargs)
        value = result.weight.item()
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    return {
        "reference": [entry for kind, entry in log if kind == "trained against"],
        "collected": [entry for kind, entry in log if kind == "collected from"],
        "votes": [entry for kind, entry in log if kind == "trained on"],
        "policy": value,
    }


def _round_cases(draw):
    w = round(draw.uniform(1, 3), 2)
    return [
        Case((w, 0.5), label=f"three rounds from weight {w:g}, each of which adds 0.5"),
        Case(
            (w, -0.25), {"rounds": 5}, label=f"five rounds from weight {w:g}, each of which takes away 0.25"
        ),
    ]


BUG_08 = _bug(
    8,
    "online_rounds",
    online_rounds,
    (
        Part("the reference in each round", 2, _round_cases, ("reference",)),
        Part("the rounds otherwise", 1, _round_cases, ("collected", "votes", "policy")),
    ),
    (
        ("shallow", _rounds_shallow, "the copy shares its weights with the policy"),
        ("each-round", _rounds_each, "the reference is taken anew in each round, so that it moves along"),
        ("a-round-behind", _rounds_last, "the reference follows the policy, a round behind"),
        (
            "collected-once",
            _rounds_collected_once,
            "the reference is right, but votes are collected only once: the rounds are no longer online",
        ),
        (
            "from-the-reference",
            _rounds_from_reference,
            "the reference is right, but votes are collected on its answers, not on the policy's",
        ),
        ("restarting", _rounds_restarting, "the reference is right, but each round starts from it again"),
        ("one-round", _rounds_one, "only one round is trained"),
        ("reference-back", _rounds_reference_back, "the reference comes back, not the trained policy"),
        (
            "as-shown",
            _rounds_shown,
            "policy and reference are one and the same module, so that their log-ratio is 0 and nothing holds the policy back",
        ),
    ),
    {
        "weights kept": _rounds_state,
        "the policy copied": _rounds_policy_copied,
        "pickled and frozen": _rounds_pickled,
    },
    (
        "Print the reference's weights in each round.",
        "What does `reference = policy` copy?",
        "A copy with weights of its own, made once, before the first round.",
    ),
    _observe_rounds,
)

BUGS = (BUG_01, BUG_02, BUG_03, BUG_04, BUG_05, BUG_06, BUG_07, BUG_08)
