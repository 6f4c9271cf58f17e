"""04-kto-pipeline: find the bug, those of the data: bins, pairs, approval, joins."""

import copy
import math
import statistics

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug
from course_utils.checks.exercises.pipeline_logs import Fault
from course_utils.checks.observe import changed_inputs, describe_error, quietly

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


def _bins_shares_of_all(lengths, thumbs_up, bins=5):
    return [(n, n * share / len(lengths)) for n, share in approval_by_length(lengths, thumbs_up, bins)]


def _bins_of_different_lengths(lengths, thumbs_up, bins=5):
    bin_of = {}
    for b, group in enumerate(np.array_split(sorted(set(lengths)), bins)):
        bin_of |= dict.fromkeys(group.tolist(), b)
    table = pd.Series(thumbs_up, dtype=float).groupby([bin_of[length] for length in lengths])
    return [(len(votes), votes.mean()) for _, votes in table]


def _bins_rounded_up(lengths, thumbs_up, bins=5):
    order, size = np.argsort(lengths, kind="stable"), -(-len(lengths) // bins)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    return [(len(g), np.mean([thumbs_up[i] for i in g])) for g in groups]


def _bins_without_votes(lengths, thumbs_up, bins=5):
    edges = np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:-1])
    bin_of, up = np.searchsorted(edges, lengths, side="left"), np.asarray(thumbs_up, dtype=float)
    return [
        (int((bin_of == b).sum()), float(up[bin_of == b].sum() / max((bin_of == b).sum(), 1)))
        for b in range(bins)
    ]


def _bins_counts(lengths, thumbs_up, bins=5):
    return [(n, round(n * share)) for n, share in approval_by_length(lengths, thumbs_up, bins)]


def _bins_qcut(lengths, thumbs_up, bins=5):
    frame = pd.DataFrame({"length": lengths, "up": np.asarray(thumbs_up, dtype=float)})
    bin_of = pd.qcut(frame["length"], bins, duplicates="drop")
    table = frame.groupby(bin_of, observed=True)["up"].agg(["size", "mean"])
    return list(table.itertuples(index=False, name=None))


def _bins_qcut_of_different(lengths, thumbs_up, bins=5):
    frame = pd.DataFrame({"length": lengths, "up": np.asarray(thumbs_up, dtype=float)})
    table = frame.groupby(pd.qcut(pd.Series(lengths), bins, labels=False))["up"].agg(["size", "mean"])
    return list(table.itertuples(index=False, name=None))


def _bins_qcut_of_ranks(lengths, thumbs_up, bins=5):
    up = pd.Series(thumbs_up, dtype=float)
    bin_of = pd.qcut(pd.Series(lengths).rank(method="first"), bins, labels=False)
    return [(len(votes), votes.mean()) for _, votes in up.groupby(bin_of)]


def _bins_rest_in_the_last(lengths, thumbs_up, bins=5):
    order, size = np.argsort(lengths, kind="stable"), len(lengths) // bins
    ends = [*(size * (b + 1) for b in range(bins - 1)), len(lengths)]
    groups = [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [(len(g), np.mean([thumbs_up[i] for i in g])) for g in groups]


def _bins_remainder_lost(lengths, thumbs_up, bins=5):
    order, size = np.argsort(lengths, kind="stable"), len(lengths) // bins
    return [(size, np.mean([thumbs_up[i] for i in order[b * size : (b + 1) * size]])) for b in range(bins)]


def _bins_longest_dropped(lengths, thumbs_up, bins=5):
    order = np.argsort(lengths, kind="stable")[:-1]
    return approval_by_length([lengths[i] for i in order], [thumbs_up[i] for i in order], bins)


def _bins_sorted_with_votes(lengths, thumbs_up, bins=5):
    pairs = sorted(zip(lengths, map(bool, thumbs_up), strict=True))
    groups = np.array_split([up for _, up in pairs], bins)
    return [(len(group), float(group.mean())) for group in groups]


def _bins_quantiles(lengths, thumbs_up, bins=5):
    lengths, up = np.asarray(lengths, dtype=float), np.asarray(thumbs_up, dtype=bool)
    edges = np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:-1])
    bin_of = np.searchsorted(edges, lengths, side="left")
    return [[int((bin_of == b).sum()), up[bin_of == b].mean()] for b in np.unique(bin_of)]


def _bins_ranks(lengths, thumbs_up, bins=5):
    ranks = stats.rankdata(lengths, method="ordinal") - 1
    bin_of = (ranks * bins // len(lengths)).astype(int)
    found = []
    for b in range(bins):
        mine = [bool(up) for up, k in zip(thumbs_up, bin_of, strict=True) if k == b]
        found.append((len(mine), statistics.fmean(mine)))
    return found


def _observe_bins(function, case):
    """The number of bins, their sizes, all votes in them, and the shares of the votes that so many bins hold."""
    lengths, thumbs_up = case.args
    args = (list(lengths), list(thumbs_up))
    try:
        found = quietly(lambda: list(function(*args, **case.kwargs)))
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    try:
        found = [(float(n), float(share)) for n, share in found]
    except (TypeError, ValueError):
        return {"odd": "what came back is no list of pairs (votes, share)"}
    bins = case.kwargs.get("bins", 5)
    inputs = changed_inputs((case.args, {}), (args, {}))
    if case.extra:
        return {"tied": _tied(found, thumbs_up, bins), "inputs": inputs}
    if len(found) != bins:
        words = Missing(f"{len(found)} bins where {bins} are wanted")
        return {"sizes": words, "shares": words, "inputs": inputs}
    return {
        "sizes": _sizes(found, len(lengths)),
        "shares": _shares(found, lengths, thumbs_up),
        "inputs": inputs,
    }


def _sizes(found, votes):
    """ "about equal": the division's remainder may lie anywhere, and a tenth is no matter."""
    bins = len(found)
    size = votes / bins
    uneven = [n for n, _ in found if not abs(n - size) <= max(bins, size / 10)]
    if uneven:
        return Missing(f"a bin with {max(uneven, key=lambda n: abs(n - size)):g} of {votes} votes")
    return _lost(found, votes) or "about equal"


def _lost(found, votes):
    lost = votes - sum(n for n, _ in found)
    if lost == 0:
        return None
    if lost > 0:
        return Fault(f"{lost:g} of {votes} votes are in no bin; each belongs into one", "votes lost")
    return Fault(f"there are {votes - lost:g} votes in the bins, of {votes}", "votes twice")


def _shares(found, lengths, thumbs_up):
    """Whether each bin's share is that of the votes that it holds if the shortest come first."""
    bins, order = len(found), np.argsort(lengths, kind="stable")
    ups = np.concatenate([[0], np.cumsum(np.asarray(thumbs_up, dtype=float)[order])])
    sizes = [n for n, _ in found]
    if sum(sizes) != len(lengths) or any(n < 1 or n != int(n) for n in sizes):
        sizes = [len(group) for group in np.array_split(order, bins)]
    ends = np.cumsum([0, *map(int, sizes)])
    wanted = (ups[ends[1:]] - ups[ends[:-1]]) / np.diff(ends)
    for i, ((_, share), right) in enumerate(zip(found, wanted, strict=True)):
        if not abs(share - right) < 2.5 * bins / len(lengths):
            return Missing(f"not the share of thumbs-up: bin {i + 1}: {share:.3f}")
    return "right"


def _tied(found, thumbs_up, bins):
    """Where most lengths are equal there may be fewer bins, of any size; but every vote is in one, whichever it is."""
    if not 1 <= len(found) <= bins:
        return Missing(f"{len(found)} bins where at most {bins} are wanted")
    if lost := _lost(found, len(thumbs_up)):
        return lost
    if any(n < 1 for n, _ in found):
        return Missing("there is a bin without votes; leave it out")
    rate = float(np.mean(thumbs_up))
    for n, share in found:
        if n >= 30 and not abs(share - rate) < 0.3:
            words = f"a bin of {n:g} votes with {share:.0%} thumbs-up, though the lengths are equal and {rate:.0%} are up"
            return Fault(words, "sorted by vote")
    return "all in a bin"


def _tied_cases(draw):
    """Nearly all lengths are equal, and the votes have nothing to do with them."""
    cases = []
    for n, bins in ((300, 3), (250, 5)):
        lengths = [*range(10, 15), *[60] * (n - 10), *range(200, 205)]
        ups = [i % 2 == 0 for i in draw.permutation(n)]
        order = draw.permutation(n)
        cases.append(
            Case(
                ([lengths[i] for i in order], ups), {"bins": bins},
                label=f"{n} votes, of which {n - 10} have the same length, bins={bins}", extra=True,
            )
        )  # fmt: skip
    return cases


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


def _size_cases(draw):
    """Whole characters too, of which a few are equal, and a number of votes that leaves a large remainder."""
    lengths = [1 + int(150 * math.exp(float(x))) for x in draw.normal(600, scale=1.2).tolist()]
    ups = [i % 3 > 0 for i in range(600)]
    return [
        *_bin_cases(draw),
        Case((lengths, ups), label="600 votes on whole numbers of characters, bins=5"),
        _bin_case(draw, 24, 0.9, bins=10),
    ]


BUG_01 = find_the_bug(
    1,
    "approval_by_length",
    approval_by_length,
    (
        Part("bins of about equal size", 1.5, _size_cases, ("sizes",)),
        Part("the share of thumbs-up in each, inputs unchanged", 1, _bin_cases, ("shares", "inputs")),
        Part("many equal lengths: no error, all votes in a bin", 0.5, _tied_cases, ("tied", "inputs")),
    ),
    (
        ("logs", _bins_of_logs, "the bins are equally wide on a log scale now, but still of unequal size"),
        (
            "unsorted",
            _bins_unsorted,
            "the bins are of equal size now, but their votes are not those of their lengths: rows as they come, or lengths sorted without their votes",
        ),
        ("longest-first", _bins_longest_first, "the longest responses come first; the shortest should"),
        (
            "remainder-lost",
            _bins_remainder_lost,
            "the bins are equally full, but where their number does not divide the votes the rest is in none of them",
        ),
        (
            "longest-dropped",
            _bins_longest_dropped,
            "votes were thrown away, those of the longest responses perhaps; they are votes like the others, and bins of equal size are not disturbed by them",
        ),
        (
            "equal-lengths-raise",
            _bins_qcut_of_different,
            "where many lengths are equal two cuts fall together, and qcut raises an error; look for its argument `duplicates`, or cut the sorted rows",
        ),
        (
            "sorted-by-vote",
            _bins_sorted_with_votes,
            "responses of equal length were sorted by their votes, thumbs-down first, so that the bins differ where lengths do not; sort by the length alone",
        ),
        (
            "bins-of-different-lengths",
            _bins_of_different_lengths,
            "each bin holds as many different lengths, not as many votes; short answers are frequent, and each is a vote",
        ),
        (
            "sizes-rounded-up",
            _bins_rounded_up,
            "each bin takes the size rounded up, so that few or no votes are left for the last ones",
        ),
        (
            "bins-without-votes",
            _bins_without_votes,
            "where many lengths are equal two cuts fall together, and the bin between them has no votes; leave it out",
        ),
        (
            "shares-of-all",
            _bins_shares_of_all,
            "the thumbs-up were divided by all votes; divide by those of the bin",
        ),
        ("always-five", _bins_always_five, "there are always five bins, whatever `bins` says"),
        ("counts", _bins_counts, "the second number of each bin is a count; the share is wanted"),
        (
            "as-shown",
            _bins_shown,
            "nearly all votes fall into the first bin and a few into the last, because one response is very long",
        ),
    ),
    {
        "qcut": _bins_qcut,
        "qcut of ranks": _bins_qcut_of_ranks,
        "quantiles": _bins_quantiles,
        "ranks": _bins_ranks,
        "the rest in the last bin": _bins_rest_in_the_last,
    },
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


def _pairs_capped_at_4(votes, cap=4):
    return capped_pairs(votes, 4)


def _pairs_again(votes, cap=4):
    """Pairs come again until the cap is reached."""
    pairs = {p: [(p, u, d) for u in ups for d in downs] for p, (ups, downs) in votes.items()}
    return [pair for own in pairs.values() for pair in (own * cap)[:cap]]


def _pairs_turned(votes, cap=4):
    return [(p, d, u) for p, u, d in capped_pairs(votes, cap)]


def _pairs_sorted(votes, cap=4):
    for ups, downs in votes.values():
        ups.sort()
        downs.sort()
    return capped_pairs(votes, cap)


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


def _is_pair(pair, votes):
    """Whether these are a prompt and a thumbs-up and a thumbs-down response of it."""
    if len(pair) != 3 or not all(isinstance(text, str) for text in pair):
        return False
    prompt, up, down = pair
    return prompt in votes and up in votes[prompt][0] and down in votes[prompt][1]


def _observe_pairs(function, case):
    votes = case.args[0]
    args = (copy.deepcopy(votes), *case.args[1:])
    try:
        pairs = [tuple(pair) for pair in quietly(function, *args)]
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    prompts = [pair[0] for pair in pairs if pair and isinstance(pair[0], str)]
    counts = {prompt: prompts.count(prompt) for prompt in votes}
    wrong = [pair for pair in pairs if not _is_pair(pair, votes)]
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
        # in falling order, so that a list that was sorted is another
        f"prompt {i}": ([f"{i} good {9 - k}" for k in range(up)], [f"{i} bad {9 - k}" for k in range(down)])
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


BUG_02 = find_the_bug(
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
        ("always-4", _pairs_capped_at_4, "the cap is 4, whatever `cap` says"),
        (
            "pairs-again",
            _pairs_again,
            "pairs come again until the cap is reached; a prompt with fewer pairs gives those that there are, once each",
        ),
        ("no-cap", _pairs_no_cap, "the cap is gone altogether"),
        ("turned", _pairs_turned, "chosen and rejected are exchanged"),
        ("lists-sorted", _pairs_sorted, "the lists that were given are sorted now; work on copies"),
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


def _approval_nan_for_zero(log):
    return _approval_zero(log) or float("nan")


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
        Case((_log(draw, 0, 4, 3),), label="none up, 4 down, 3 not rated"),
    ]


def _approval_edges(draw):
    return [
        Case((_log(draw, 0, 0, draw.integer(3, 9)),), label="nothing rated"),
        Case((_log(draw, 3, 2, 2),), label="3 up, 2 down, 2 not rated"),
    ]


BUG_04 = find_the_bug(
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
        (
            "nan-for-zero",
            _approval_nan_for_zero,
            "where all votes are thumbs-down the approval is 0; only without any vote is it not known",
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


def _join_lenient(read):
    """The join with words read as `read` says: True, False, or None for no vote."""

    def answer(requests, votes):
        labels = {}
        for vote in votes:
            label = read(vote["feedback"])
            if vote["request_id"] in requests and label is not None:
                labels[vote["request_id"]] = label
        return [{**requests[id], "label": label} for id, label in labels.items()]

    return answer


_UP_OR_DOWN = {"thumbs_up": True, "thumbs_down": False}
_FORGIVING = (
    lambda word: _UP_OR_DOWN.get(word.replace("-", "_")),
    lambda word: _UP_OR_DOWN.get(word.strip()),
    lambda word: _UP_OR_DOWN.get(word.lower()),
    lambda word: True if word.endswith("up") else False if word.endswith("down") else None,
    lambda word: True if "up" in word else False if "down" in word else None,
    lambda word: True if word.startswith("thumbs_up") else False if word.startswith("thumbs_down") else None,
    lambda word: _UP_OR_DOWN.get(word.strip().lower().replace("-", "_").replace(" ", "_")),
)


def _join_by_content(requests, votes):
    """Requests of the same content are taken for one, and the last of their votes counts."""
    rows = {}
    for row in join_votes(requests, votes):
        rows[row["prompt"], row["response"], row["model"]] = row
    return list(rows.values())


def _join_by_text(requests, votes):
    rows = {}
    for row in join_votes(requests, votes):
        rows[row["prompt"], row["response"]] = row
    return list(rows.values())


def _join_unmarked(requests, votes):
    """Rows that are equal in every way are taken for repetitions."""
    rows = []
    for row in join_votes(requests, votes):
        if row not in rows:
            rows.append(row)
    return rows


def _join_with_id(requests, votes):
    valid = {"thumbs_up": True, "thumbs_down": False}
    labels = {
        v["request_id"]: valid[v["feedback"]]
        for v in votes
        if v["request_id"] in requests and v["feedback"] in valid
    }
    return [{"request_id": id, **requests[id], "label": label} for id, label in labels.items()]


def _join_with_word(requests, votes):
    last = {v["request_id"]: v for v in votes if v["request_id"] in requests and v["feedback"] in _UP_OR_DOWN}
    return [{**requests[id], **v, "label": _UP_OR_DOWN[v["feedback"]]} for id, v in last.items()]


def _join_by_majority(requests, votes):
    given = {id: [v["feedback"] for v in votes if v["request_id"] == id] for id in requests}
    valid = {
        id: [word == "thumbs_up" for word in words if word in _UP_OR_DOWN] for id, words in given.items()
    }
    return [requests[id] | {"label": sum(ups) > len(ups) / 2} for id, ups in valid.items() if ups]


def _join_in_requests(requests, votes):
    """The labels are written into the requests that were given."""
    rows = join_votes(requests, votes)
    for vote in votes:
        if vote["request_id"] in requests and vote["feedback"] in _UP_OR_DOWN:
            requests[vote["request_id"]]["label"] = _UP_OR_DOWN[vote["feedback"]]
    return rows


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
    requests = _requests(draw, 12)
    ids = list(requests)
    words = ["banana", "THUMBS_UP", "thumbs-up", " thumbs_down ", "thumbs_up_please", "up", "thumbs down", ""]
    votes = [_vote(ids[2]), _vote(ids[1], False)]
    votes += [{"request_id": ids[3 + i], "feedback": word} for i, word in enumerate(words)]
    return [
        Case(
            (requests, votes[:5]), label='five votes, of which "banana", "THUMBS_UP" and "thumbs-up" are none'
        ),
        Case(
            (requests, votes),
            label="ten votes, of which eight have words that are nearly, or not at all, right",
        ),
    ]


def _last_cases(draw):
    requests = _requests(draw, 6)
    a, b, c, d, *_ = requests
    votes = [_vote(a), _vote(b, False), _vote(a), _vote(c), _vote(c, False), _vote(b), _vote(d)]
    twins = {id: {"prompt": "hi", "response": "hello", "model": "v1"} for id in (a, b, c, d)}
    return [
        Case((requests, votes), label="seven votes for four requests"),
        Case((twins, [*votes, _vote(d, False)]), label="four requests that are alike but for their ids"),
    ]


def _join_cases(draw):
    requests = _requests(draw, 9)
    ids = list(requests)
    votes = [
        _vote(ids[i], up)
        for i, up in zip([*draw.permutation(9), *draw.permutation(9)[:5]], [True, False] * 7, strict=True)
    ]
    # the last vote, against most before it
    votes += [*[_vote(ids[2])] * 4, _vote(ids[2], False)]
    requests[ids[8]]["response"] = ""  # an answer like any other
    # a wrong word after a right one leaves the right one standing
    votes += [_vote(ids[0], word="banana"), _vote("never-issued"), _vote(ids[1], word="thumbs up")]
    return [
        Case((requests, votes), label="22 votes for nine requests and an unknown one, one answer is empty"),
        Case((requests, votes[:3]), label="three votes for nine requests"),
    ]


BUG_05 = find_the_bug(
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
        (
            "majority",
            _join_by_majority,
            "of several votes for a request the more frequent one counts; the last one should",
        ),
        (
            "empty-dropped",
            lambda requests, votes: [row for row in join_votes(requests, votes) if row["response"]],
            "a request whose answer is empty gives no row any more; each request that has a vote gives one",
        ),
        ("raising", _join_raising, "one unknown request stops everything; its vote is to be left out"),
        (
            "wiped-out",
            _join_last_before_words,
            "a word that is no vote wipes out the valid vote before it",
        ),
        *(
            (
                f"forgiving-{i}" if i else "forgiving",
                _join_lenient(read),
                "a word that is nearly right is taken for a vote; only the two words themselves are votes, all others are left out",
            )
            for i, read in enumerate(_FORGIVING)
        ),
        (
            "by-content",
            _join_by_content,
            "requests with the same content are taken for one; each request has an id and a row of its own",
        ),
        (
            "equal-rows-once",
            _join_unmarked,
            "rows that are equal were made one; two requests with the same content are two rows",
        ),
        (
            "request-id-kept",
            _join_with_id,
            "the rows have more keys than prompt, response, model and label: the request's id is still there",
        ),
        (
            "vote-kept",
            _join_with_word,
            "the rows hold the vote's keys too; prompt, response, model and label are wanted",
        ),
        (
            "labels-in-the-requests",
            _join_in_requests,
            "the requests that were given were changed: labels written into them, or some taken out; make new dicts",
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
