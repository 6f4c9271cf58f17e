"""04-kto-pipeline: which rows of a log go, and how many; with the exercise on users, which comes first."""

import numbers
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.pipeline_logs import (
    DOWN,
    UP,
    Fault,
    Log,
    form_of,
    kept_places,
    listed,
    remembered,
    run,
)
from course_utils.checks.exercises.pipeline_users import FLAG_BIASED_USERS
from course_utils.feedback.clean import STEPS, clean_feedback, flag_biased_users
from course_utils.words import type_of

__all__ = ["CLEAN_FEEDBACK", "FLAG_BIASED_USERS"]

# --- how an answer is looked at ---------------------------------------------------


def _observe_cleaned(function, case):
    """For each row, in words, whether it was kept; the kept rows' order and form; the counts."""
    result, error, inputs = run(function, case)
    if error:
        return {"error": error}
    frame, notes = case.args[0], case.extra["notes"]
    places = kept_places(frame, result)
    if isinstance(places, Missing):
        return {"result": places, "order": places, "form": places, "counts": places, "inputs": inputs}
    times = Counter(places)
    words = {0: "dropped", 1: "kept"}
    ordered = Missing("the kept rows are not in the frame's order; each is to stay where it was")
    return {
        "result": {
            f"row {place}, {note}": words.get(times[place], "kept more than once")
            for place, note in enumerate(notes)
        },
        "order": "in order" if places == sorted(places) else ordered,
        "form": form_of(frame, result, places) if case.extra["form"] else "not looked at",
        "counts": _reported(result),
        "inputs": inputs,
    }


def _reported(result):
    """The counts in `attrs["dropped"]`, each a whole number or a `Missing`; further keys are not looked at."""
    dropped = result.attrs.get("dropped")
    dropped = dropped.to_dict() if isinstance(dropped, pd.Series) else dropped
    if not isinstance(dropped, Mapping):
        kind = "is missing" if dropped is None else f"is {type_of(dropped)}, not a dict"
        return Missing(f'attrs["dropped"] of the result {kind}')
    counts = {}
    for step in STEPS:
        value = dropped.get(step, Fault(f'attrs["dropped"] has no {step!r}', "no count"))
        whole = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
        wrong = Fault(f"{step!r} is {type_of(value)}, not a whole number", "no int")
        counts[step] = value if whole or isinstance(value, Missing) else wrong
    return counts


# --- its cases: no user anywhere near the border of being flagged ------------------------------------


def _cleaning(log, index="plain", label="", form=False, **kwargs):
    frame, notes = log.frame(index, **kwargs)
    return Case((frame,), label=label, extra={"notes": notes, "form": form})


def _add_biased(log, votes=60):
    log.votes("always-up", votes, 0, note="a vote of a user who always says up")
    log.votes("always-down", 0, votes, note="a vote of a user who always says down")


def _add_masked_users(log):
    """Users that only the whole frame shows for what they are: most of their rows go at later steps too."""
    for _ in range(42):
        log.add("blanks", False, response=" ", note="an empty response, by a user who always says down")
    log.votes("blanks", 0, 3, note="a further vote of a user who always says down")
    prompt = log.prompt()
    for _ in range(57):
        log.add("again", True, prompt, "the same", note="a repeated vote of a user who always says up")
    log.votes("again", 3, 0, note="a further vote of a user who always says up")
    log.votes("warned", 0, 45, warned=True, note="a response with a warning, by a user who always says down")
    log.votes("warned", 0, 3, note="a further vote of a user who always says down")


def _add_unmasked_user(log):
    """A user of 60 ups and 40 downs, the downs all one vote: honest in the whole frame, one-sided afterwards."""
    prompt = log.prompt()
    log.votes("honest", 60, 0, note="a vote of a user with 60 of 100 up")
    for _ in range(40):
        log.add("honest", False, prompt, "the same", note="a repeated vote of a user with 60 of 100 up")


def _balance(log):
    """As many ups as downs for every user: then these rows say nothing about the rule for biased users."""
    verdicts = {}
    for row in log.rows:
        verdicts.setdefault(row[2], []).append(row[3])
    for user, given in verdicts.items():
        more = given.count(UP) - given.count(DOWN)
        log.votes(user, max(-more, 0), max(more, 0))


def _add_empty(log):
    for response in ("", "   ", "\t", "\n \n", "\r\n"):
        log.add("e1", False, response=response, note=f"the response {response!r}")
    for _ in range(2):
        log.add("e2", True, response=None, note="a missing response")
    for response in ("42", "0", "no", "nan", "None", ".", " yes "):
        log.add("e3", True, response=response, note=f"the response {response!r}")
    for response in (" ", None):
        log.add(
            "e4", False, response=response, warned=True, note="an empty or missing response with a warning"
        )


def _add_warned(log):
    for up in (True, False, True):
        log.add("w1", up, warned=True, note="a response with a warning")


def _add_duplicates(log):
    for user, up in (("d1", True), ("d2", False)):
        prompt = log.prompt()
        for _ in range(3):
            log.add(user, up, prompt, "said so", note="one of three votes that are the same")
    prompt = log.prompt()
    for user in ("d1", "d2", "d3"):
        log.add(user, True, prompt, "said so", note="one of three users' votes up on one response")
    log.add("d1", True, prompt, "said so ", note="the same text but for a space at its end")
    log.add("d1", True, prompt, "Said so", note="the same text but for a capital")
    log.add("d1", True, None, "said so", note="the same text in answer to another prompt")
    log.add("d3", True, prompt, "another answer", note="a user's vote on another response to that prompt")
    log.add(
        "d2",
        True,
        f"{prompt} a",
        "b c",
        note="a text that is like another's only where it is joined to its prompt",
    )
    log.add(
        "d2",
        True,
        f"{prompt} ab",
        " c",
        note="a text that is like another's only where it is joined to its prompt",
    )


def _add_contradictions(log):
    prompt = log.prompt()
    log.add("k1", True, prompt, "both", note="a response with an up and a down of two users")
    log.add("k2", False, prompt, "both", note="a response with an up and a down of two users")
    log.add("k1", False, prompt, "other", note="a down on another response to that prompt")
    prompt = log.prompt()
    for up in (True, False):
        log.add("k3", up, prompt, "changed", note="an up and a down of the same user on one response")
    prompt = log.prompt()
    for user, up in (("k4", True), ("k5", True), ("k6", True), ("k7", False), ("k9", False)):
        log.add(user, up, prompt, "three to two", note="a response with three ups and two downs")
    for up in (True, False):
        log.add("k8", up, None, "one text", note="a text with an up at one prompt and a down at another")
    log.add(
        "k1",
        True,
        f"{prompt} a",
        "b c",
        note="a text that is like another's only where it is joined to its prompt",
    )
    log.add(
        "k2",
        False,
        f"{prompt} ab",
        " c",
        note="a text that is like another's only where it is joined to its prompt",
    )
    log.add(
        "k1", True, prompt, "all true", note="an up on a text that another has but for a capital or a space"
    )
    for text in ("All true", "all true "):
        log.add(
            "k2", False, prompt, text, note="a down on a text that another has but for a capital or a space"
        )


def _add_both(log):
    """Votes given twice on a response with both verdicts."""
    prompt = log.prompt()
    for user, up in (("x1", True), ("x1", True), ("x2", False), ("x2", False), ("x3", True)):
        log.add(
            user,
            up,
            prompt,
            "twice and both",
            note="a response with two ups, one of them twice, and a repeated down",
        )


def _add_resolved(log):
    """Responses whose other verdict goes at an earlier step, and duplicates whose first goes."""
    for user in ("always-up", "always-down"):
        prompt = log.prompt()
        log.add(
            user, user == "always-up", prompt, "settled", note="a verdict of a biased user against another's"
        )
        log.add(
            "r1", user != "always-up", prompt, "settled", note="a vote that only a biased user contradicts"
        )
    prompt = log.prompt()
    log.add("r2", True, prompt, "seen", note="a vote that only a row with a warning contradicts")
    log.add("r3", False, prompt, "seen", warned=True, note="a row with a warning that contradicts another")
    for _ in range(2):
        prompt = log.prompt()
        for warned in (True, False, True):
            log.add("r4", True, prompt, "seen", warned, note="the same vote thrice, two with a warning")


def _together(rng, index, label, resolved=True, form=False):
    log = Log(rng)
    log.crowd(100)
    _add_biased(log, int(rng.integers(50, 60)))
    for add in (_add_empty, _add_warned, _add_duplicates, _add_contradictions, _add_both):
        add(log)
    if resolved:
        _add_resolved(log)
    return _cleaning(log, index, label, form)


@remembered
def _together_cases(rng):
    masked = Log(rng)
    masked.crowd(220)
    _add_masked_users(masked)
    _add_unmasked_user(masked)
    return [
        _together(rng, "repeated", "all kinds of rows, an index with repeated labels"),
        _cleaning(masked, "shuffled", "users whose rows go at other steps too"),
    ]


@remembered
def _biased_cases(rng):
    log = Log(rng)
    log.crowd(120)
    log.votes("always-up", 55, 0, note="a vote of a user who always says up")
    log.votes("always-down", 0, 58, note="a vote of a user who always says down")
    log.votes("busy", 130, 70, note="a vote of a user with 130 of 200 up")
    log.votes("critical", 30, 90, note="a vote of a user with 30 of 120 up")
    log.votes("pleased", 170, 30, note="a vote of a user with 170 of 200 up")
    log.votes("displeased", 30, 170, note="a vote of a user with 30 of 200 up")
    log.votes("few-up", 6, 0, note="a vote of a user with 6 of 6 up")
    log.votes("few-down", 0, 6, note="a vote of a user with none of 6 up")
    once = Log(rng)
    for i in range(12):
        once.votes(f"p{i}", 10, 10, note="a vote of a user with 10 of 20 up")
    once.votes("always-up", 600, 0, note="a vote of a user with 600 of 600 up")
    once.votes("lively", 18, 0, note="a vote of a user with 18 of 18 up, where 86 % of all are up")
    return [
        _cleaning(log, "falling", "users, no other fault"),
        _cleaning(once, "plain", "one user with most of the votes"),
    ]


@remembered
def _empty_cases(rng):
    cases = []
    for index, warning in (("plain", True), ("words", False)):
        log = Log(rng)
        log.crowd(30)
        _add_empty(log)
        if warning:
            _add_warned(log)
        _balance(log)
        label = "empty responses" + (" and warnings" if warning else ", no column content_warning")
        cases.append(_cleaning(log, index, label, warning=warning))
    return cases


@remembered
def _twice_cases(rng):
    cases = []
    for index, adds in (
        ("plain", (_add_duplicates,)),
        ("repeated", (_add_duplicates, _add_contradictions, _add_both)),
    ):
        log = Log(rng)
        log.crowd(30)
        for add in adds:
            add(log)
        _balance(log)
        cases.append(_cleaning(log, index, "votes given twice" + " and contradictions" * (len(adds) > 1)))
    return cases


@remembered
def _count_cases(rng):
    few = Log(rng)
    few.crowd(40)
    _add_contradictions(few)
    return [
        _together(rng, "plain", "all kinds of rows"),
        _cleaning(few, "shuffled", "contradictions only, no column content_warning", warning=False),
    ]


@remembered
def _clean_form_cases(rng):
    cases = [
        _together(rng, index, f"all kinds of rows, index {index}", form=True)
        for index in ("repeated", "words")
    ]
    cases[0].args[0].attrs["source"] = "a log of January"
    cases[1].args[0].attrs["dropped"] = {"before": 3}
    bare = Log(rng)
    bare.crowd(30)
    _add_contradictions(bare)
    return [
        *cases,
        _cleaning(bare, "plain", "contradictions only, no column content_warning", True, warning=False),
    ]


# --- its answers --------------------------------------------------------------------------------


class _Row(NamedTuple):
    """A row of a frame; `response` is None where it is missing, `warned` where there is no such column."""

    place: int
    prompt: str
    response: str | None
    user: str
    up: bool
    warned: bool | None
    talk: str


def _rows(feedback):
    columns = [listed(feedback[c]) for c in ("prompt", "response", "user_id", "feedback")]
    warned = feedback["content_warning"].tolist() if "content_warning" in feedback else [None] * len(feedback)
    rows = zip(*columns, warned, listed(feedback["conversation_id"]), strict=True)
    return [
        _Row(
            place, prompt, response if isinstance(response, str) else None, user, verdict == UP, warned, talk
        )
        for place, (prompt, response, user, verdict, warned, talk) in enumerate(rows)
    ]


@lru_cache(maxsize=64)
def _biased(votes):
    """The users to flag among (user, up) votes."""
    users, verdicts = zip(*votes, strict=True)
    frame = pd.DataFrame({"user_id": users, "feedback": [UP if up else DOWN for up in verdicts]})
    return frozenset(flag_biased_users(frame))


# Each step goes from (rows that are left, all rows) to those that it drops.


def _is_biased(kept, rows):
    biased = _biased(tuple((row.user, row.up) for row in rows))
    return [row for row in kept if row.user in biased]


def _where(rule):
    return lambda kept, rows: [row for row in kept if rule(row)]


def _again(key, keep="first"):
    """Rows whose key stood before (or, to keep the last, stands later; to keep none, is there twice)."""

    def step(kept, rows):
        counts, seen, found = Counter(map(key, kept)), Counter(), []
        for row in kept:
            seen[key(row)] += 1
            place = seen[key(row)]
            total = counts[key(row)]
            if {"first": place > 1, "last": place < total, "none": total > 1}[keep]:
                found.append(row)
        return found

    return step


def _contradicted(key, which=lambda row, ups: True):
    """Rows of a group with both verdicts; `which` may spare some, from the row and its group's verdicts."""

    def step(kept, rows):
        groups = {}
        for row in kept:
            groups.setdefault(key(row), []).append(row.up)
        return [row for row in kept if len(set(groups[key(row)])) == 2 and which(row, groups[key(row)])]

    return step


def _but_the_last(kept, rows):
    last = {_shown(row): row.place for row in kept}
    return [row for row in _contradicted(_shown)(kept, rows) if row.place != last[_shown(row)]]


def _vote(row):
    return row.prompt, row.response, row.user, row.up


def _shown(row):
    return row.prompt, row.response


_RIGHT = {
    "biased_user": _is_biased,
    "empty_response": _where(lambda row: not (row.response or "").strip()),
    "content_warning": _where(lambda row: row.warned),
    "duplicate": _again(_vote),
    "contradiction": _contradicted(_shown),
}


def _cleaner(order=STEPS, finish=lambda kept: kept, counts=lambda dropped: dropped, **steps):
    """An answer with some steps replaced, left out or in another order."""

    def answer(feedback):
        rows = kept = _rows(feedback)
        dropped = dict.fromkeys(STEPS, 0)
        for step in order:
            gone = {row.place for row in (_RIGHT | steps)[step](kept, rows)}
            dropped[step] = len(gone)
            kept = [row for row in kept if row.place not in gone]
        result = finish(feedback.iloc[[row.place for row in kept]].copy())
        result.attrs["dropped"] = counts(dropped)
        return result

    return answer


def _nothing(kept, rows):
    return []


def _one_sided(kept, rows):
    votes = {}
    for row in rows:
        votes.setdefault(row.user, []).append(row.up)
    rate = {user: sum(ups) / len(ups) for user, ups in votes.items()}
    return [row for row in kept if not 0.1 <= rate[row.user] <= 0.9]


def _one_sided_of_five(kept, rows):
    votes = Counter(row.user for row in rows)
    return [row for row in _one_sided(kept, rows) if votes[row.user] >= 5]


def _until_nobody_is(kept, rows):
    gone, left = [], kept
    while found := _is_biased(left, left):
        gone, left = gone + found, [row for row in left if row not in set(found)]
    return gone


def _extreme_at_80(kept, rows):
    votes, ups = Counter(row.user for row in rows), Counter(row.user for row in rows if row.up)
    far = {user for user, n in votes.items() if not 0.2 <= ups[user] / n <= 0.8}
    return [row for row in _unusual(kept, rows) if row.user in far]


def _unusual(kept, rows):
    votes = Counter(row.user for row in rows)
    ups = Counter(row.user for row in rows if row.up)
    p = sum(ups.values()) / len(rows)
    high = {u: binom.sf(ups[u] - 1, n, p) for u, n in votes.items()}
    low = {u: binom.cdf(ups[u], n, p) for u, n in votes.items()}
    return [row for row in kept if min(high[row.user], low[row.user]) < 0.001]


def _is_warned_or_error(kept, rows):
    if rows[0].warned is None:
        raise KeyError("content_warning")
    return [row for row in kept if row.warned]


def _of_what_is_left(step):
    return lambda kept, rows: step(kept, kept)


def _by_labels(feedback):
    """The right rows to drop, dropped by their index labels."""
    right = _cleaner()(feedback)
    places = set(range(len(feedback))) - set(np.flatnonzero(feedback["timestamp"].isin(right["timestamp"])))
    kept = feedback.drop(feedback.index[sorted(places)].unique())
    kept.attrs = right.attrs
    return kept


def _counted(count):
    """The right rows, with some of the counts replaced by `count(rows)`."""

    def answer(feedback):
        kept = _cleaner()(feedback)
        kept.attrs["dropped"] = kept.attrs["dropped"] | count(_rows(feedback))
        return kept

    return answer


def _rows_kept_counted(feedback):
    kept = _cleaner()(feedback)
    kept.attrs["dropped"] = {step: len(feedback) - n for step, n in kept.attrs["dropped"].items()}
    return kept


def _left_for(step):
    """The rows that the steps before this one leave."""

    def left(rows):
        kept = rows
        for name in STEPS[: STEPS.index(step)]:
            gone = set(_RIGHT[name](kept, rows))
            kept = [row for row in kept if row not in gone]
        return kept

    return left


def _attrs_on_the_input(feedback):
    kept = _cleaner()(feedback)
    feedback.attrs["dropped"] = kept.attrs["dropped"]
    kept.attrs = {}
    return kept


def _input_changed(feedback):
    feedback["response"] = feedback["response"].fillna("")
    return _cleaner()(feedback)


def _input_column(feedback):
    kept = _cleaner()(feedback)
    feedback["up"] = feedback["feedback"] == UP
    return kept


def _only_if_any(dropped):
    return {step: count for step, count in dropped.items() if count}


def _with_sql_like_merge(feedback):
    """Steps by merging with tables of keys."""
    frame = feedback.reset_index(drop=True).assign(place=np.arange(len(feedback)))
    dropped, size = {}, len(frame)

    def shrink(step, kept):
        nonlocal size
        dropped[step], size = size - len(kept), len(kept)
        return kept

    frame = shrink("biased_user", frame[~frame["user_id"].isin(flag_biased_users(feedback))])
    frame = shrink(
        "empty_response", frame[[isinstance(r, str) and r.strip() != "" for r in frame["response"]]]
    )
    if "content_warning" in frame:
        frame = frame[~frame["content_warning"]]
    frame = shrink("content_warning", frame)
    frame = shrink("duplicate", frame.drop_duplicates(["prompt", "response", "user_id", "feedback"]))
    verdicts = (
        frame.drop_duplicates(["prompt", "response", "feedback"])
        .groupby(["prompt", "response"], as_index=False)
        .size()
    )
    single = verdicts[verdicts["size"] == 1]
    frame = shrink("contradiction", frame.merge(single[["prompt", "response"]], on=["prompt", "response"]))
    frame = frame.sort_values("place").drop(columns="place")
    frame.attrs["dropped"] = dropped
    return frame


def _with_loops(feedback):
    rows = feedback.to_dict("records")
    biased, dropped = flag_biased_users(feedback), Counter(dict.fromkeys(STEPS, 0))
    kept, seen = [], set()
    for place, row in enumerate(rows):
        key = (row["prompt"], row["response"], row["user_id"], row["feedback"])
        if row["user_id"] in biased:
            dropped["biased_user"] += 1
        elif not isinstance(row["response"], str) or not row["response"].strip():
            dropped["empty_response"] += 1
        elif row.get("content_warning", False):
            dropped["content_warning"] += 1
        elif key in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(key)
            kept.append(place)
    verdicts = {}
    for place in kept:
        verdicts.setdefault((rows[place]["prompt"], rows[place]["response"]), set()).add(
            rows[place]["feedback"]
        )
    final = [p for p in kept if len(verdicts[rows[p]["prompt"], rows[p]["response"]]) == 1]
    dropped["contradiction"] = len(kept) - len(final)
    result = feedback.iloc[final]
    result.attrs["dropped"] = dropped
    return result


def _with_masks(feedback):
    """One mask that grows, on arrays."""
    alive = ~feedback["user_id"].isin(flag_biased_users(feedback)).to_numpy()
    counts = {"biased_user": np.int64((~alive).sum())}
    blank = ~feedback["response"].str.contains(r"\S", regex=True, na=False).to_numpy(dtype=bool)
    warned = feedback.get("content_warning", pd.Series(False, feedback.index)).to_numpy(dtype=bool)
    for step, gone in (("empty_response", blank), ("content_warning", warned)):
        counts[step], alive = (alive & gone).sum(), alive & ~gone
    place = np.flatnonzero(alive)
    again = feedback.iloc[place].duplicated(["prompt", "response", "user_id", "feedback"]).to_numpy()
    counts["duplicate"], place = again.sum(), place[~again]
    rest = feedback.iloc[place]
    keys = rest["prompt"] + "\0" + rest["response"]
    both = set(keys[(rest["feedback"] == UP).to_numpy()]) & set(keys[(rest["feedback"] == DOWN).to_numpy()])
    final = ~keys.isin(both).to_numpy()
    result = rest[final].reset_index(drop=True)
    result.attrs = {"dropped": counts | {"contradiction": (~final).sum()}}
    return result


def _with_filter(feedback):
    kept = feedback.copy()
    kept["_n"] = range(len(kept))
    sizes = [len(kept)]
    kept = kept[~kept["user_id"].isin(list(flag_biased_users(feedback)))]
    sizes.append(len(kept))
    kept = kept.dropna(subset=["response"])
    kept = kept[kept["response"].apply(lambda text: len(text.strip()) > 0)]
    sizes.append(len(kept))
    if "content_warning" in kept.columns:
        kept = kept[kept["content_warning"] == False]  # noqa: E712
    sizes.append(len(kept))
    kept = kept[~kept.duplicated(subset=["user_id", "prompt", "response", "feedback"], keep="first")]
    sizes.append(len(kept))
    kept = kept.groupby(["prompt", "response"]).filter(lambda group: group["feedback"].nunique() == 1)
    sizes.append(len(kept))
    kept = kept.sort_values("_n").drop(columns="_n")
    kept.attrs["dropped"] = {step: sizes[i] - sizes[i + 1] for i, step in enumerate(STEPS)}
    return kept


CLEAN_FEEDBACK = Exercise(
    id="clean-feedback",
    function="clean_feedback",
    reference=clean_feedback,
    observe=_observe_cleaned,
    parts=(
        Part("all steps together, in their order", 2, _together_cases),
        Part("biased users", 1, _biased_cases, independent=True),
        Part("empty responses and content warnings", 1, _empty_cases, independent=True),
        Part("duplicates and contradictions", 1, _twice_cases, independent=True),
        Part('counts in attrs["dropped"]', 1, _count_cases, ("counts",)),
        Part(
            "rows unaltered and in order, frame unchanged", 1, _clean_form_cases, ("order", "form", "inputs")
        ),
    ),
    misconceptions=(
        Misconception(
            "users-by-rate",
            _cleaner(biased_user=_one_sided),
            "all users with an extreme rate lost their rows, however few their votes; use the rule of the exercise before",
        ),
        Misconception(
            "users-of-five-votes",
            _cleaner(biased_user=_one_sided_of_five),
            "users of a few votes lost them for an extreme rate; so few are one-sided by chance. Use the rule of the exercise before",
        ),
        Misconception(
            "users-by-20-80",
            _cleaner(biased_user=_extreme_at_80),
            "users lost their rows for a rate between 0.8 and 0.9, or 0.1 and 0.2; the rule's limits are 0.1 and 0.9",
        ),
        Misconception(
            "users-again-and-again",
            _cleaner(biased_user=_until_nobody_is),
            "the rule was used again on what it had left, until nobody was flagged; the rates are those of the whole frame, once",
        ),
        Misconception(
            "users-by-tail",
            _cleaner(biased_user=_unusual),
            "a user with many votes lost them for a rate that is unusual, but not extreme; use the rule of the exercise before",
        ),
        Misconception(
            "users-kept",
            _cleaner(biased_user=_nothing),
            "the rows of biased users are still there",
        ),
        Misconception(
            "users-last",
            _cleaner((*STEPS[1:], "biased_user"), biased_user=_of_what_is_left(_is_biased)),
            "the users' rates were taken from what the other steps left; users come first, and their rates are from the whole frame",
        ),
        Misconception(
            "duplicates-before-warnings",
            _cleaner(("biased_user", "empty_response", "duplicate", "content_warning", "contradiction")),
            "duplicates were dropped before the content warnings, so that a row with a warning took its unwarned copy with it",
        ),
        Misconception(
            "users-after-duplicates",
            _cleaner(("duplicate", *STEPS[:3], "contradiction"), biased_user=_of_what_is_left(_is_biased)),
            "duplicates were dropped before the users were looked at; the rates are from the whole frame",
        ),
        Misconception(
            "short-dropped",
            _cleaner(empty_response=_where(lambda row: len((row.response or "").strip()) < 3)),
            'short responses were dropped; "42" and "no" are answers',
        ),
        Misconception(
            "ten-characters",
            _cleaner(empty_response=_where(lambda row: len(row.response or "") <= 10)),
            "responses of ten characters or fewer were dropped; a short answer may be the right one, and long ones are then what the model learns",
        ),
        Misconception(
            "blank-kept",
            _cleaner(empty_response=_where(lambda row: not row.response)),
            "responses of nothing but blanks are still there; strip before you look",
        ),
        Misconception(
            "line-ends-kept",
            _cleaner(empty_response=_where(lambda row: not (row.response or "").strip(" \n\t"))),
            "a response of nothing but a line end (\\r\\n) is still there; `strip()` without an argument takes all white space",
        ),
        Misconception(
            "missing-kept",
            _cleaner(
                empty_response=_where(lambda row: row.response is not None and not row.response.strip())
            ),
            "missing responses are still there; a comparison with the empty text is not true of them",
        ),
        Misconception(
            "only-missing",
            _cleaner(empty_response=_where(lambda row: row.response is None)),
            "empty and blank responses are still there",
        ),
        Misconception(
            "words-for-missing",
            _cleaner(empty_response=_where(lambda row: str(row.response).strip() in ("", "nan", "None"))),
            'the texts "nan" and "None" were taken for missing values; look at what is missing before you turn it into text',
        ),
        Misconception(
            "stripped",
            _cleaner(finish=lambda kept: kept.assign(response=kept["response"].str.strip())),
            "the responses were stripped in the result; kept rows stay as they are",
        ),
        Misconception(
            "warning-kept",
            _cleaner(content_warning=_nothing),
            "rows with a content warning are still there",
        ),
        Misconception(
            "warning-needed",
            _cleaner(content_warning=_is_warned_or_error),
            "a frame without the column `content_warning` raises an error",
        ),
        Misconception(
            "warning-turned",
            _cleaner(content_warning=_where(lambda row: row.warned is False)),
            "only the rows with a content warning were kept",
        ),
        Misconception(
            "duplicates-kept",
            _cleaner(duplicate=_nothing),
            "duplicates are still there: the same prompt, response, user and verdict make one, whatever the other columns say",
        ),
        Misconception(
            "duplicates-prompt-response",
            _cleaner(duplicate=_again(_shown)),
            "rows of one (prompt, response) were all taken for duplicates; the votes of two users are two votes, and of two verdicts the order of the file would decide",
        ),
        Misconception(
            "duplicates-whatever-verdict",
            _cleaner(duplicate=_again(lambda row: (row.prompt, row.response, row.user))),
            "an up and a down of the same user on one response were taken for duplicates; that is a contradiction",
        ),
        Misconception(
            "duplicates-whoever",
            _cleaner(duplicate=_again(lambda row: (row.prompt, row.response, row.up))),
            "the same verdict of two users was taken for a duplicate",
        ),
        Misconception(
            "duplicates-conversation",
            _cleaner(duplicate=_again(lambda row: row.talk)),
            "rows of one conversation were taken for duplicates; a conversation may have several turns",
        ),
        Misconception(
            "duplicates-all-gone",
            _cleaner(duplicate=_again(_vote, keep="none")),
            "all copies of a duplicate were dropped; the first one stays",
        ),
        Misconception(
            "duplicates-last",
            _cleaner(duplicate=_again(_vote, keep="last")),
            "the last of several copies was kept; it should be the first",
        ),
        Misconception(
            "sorted",
            _cleaner(finish=lambda kept: kept.sort_values(["prompt", "timestamp"])),
            "the rows were sorted; they stay in the frame's order",
        ),
        Misconception(
            "duplicates-in-time",
            lambda feedback: _cleaner()(feedback.sort_values("timestamp")),
            "the rows were sorted by time first, so that other copies are the first ones; they stay in the frame's order",
        ),
        Misconception(
            "duplicates-stripped",
            _cleaner(
                duplicate=_again(lambda row: (row.prompt, row.response.strip().lower(), row.user, row.up))
            ),
            "texts that differ in blanks or capitals were taken for the same; duplicates are exact",
        ),
        Misconception(
            "duplicates-whatever-response",
            _cleaner(duplicate=_again(lambda row: (row.prompt, row.user, row.up))),
            "a user's votes on different responses to one prompt were taken for duplicates; the response counts too",
        ),
        Misconception(
            "joined-to-one-text",
            _cleaner(
                duplicate=_again(lambda row: (row.prompt + row.response, row.user, row.up)),
                contradiction=_contradicted(lambda row: row.prompt + row.response),
            ),
            "prompt and response were joined to one text, so that “a” with “b c” is “ab” with “ c”; keep them apart",
        ),
        Misconception(
            "contradictions-stripped",
            _cleaner(contradiction=_contradicted(lambda row: (row.prompt, row.response.strip().lower()))),
            "texts that differ in blanks or capitals were taken for one response; they are two",
        ),
        Misconception(
            "contradictions-kept",
            _cleaner(contradiction=_nothing),
            "responses with both verdicts are still there",
        ),
        Misconception(
            "contradictions-within-user",
            _cleaner(contradiction=_contradicted(lambda row: (row.prompt, row.response, row.user))),
            "only users who contradict themselves were found; two users who disagree contradict each other too",
        ),
        Misconception(
            "contradictions-between-users",
            _cleaner(
                contradiction=lambda kept, rows: [
                    row
                    for row in _contradicted(_shown)(kept, rows)
                    if any(_shown(o) == _shown(row) and o.user != row.user for o in kept)
                ]
            ),
            "a user who voted both ways on one response was left in; that is a contradiction too",
        ),
        Misconception(
            "contradictions-by-response",
            _cleaner(contradiction=_contradicted(lambda row: row.response)),
            "verdicts were compared over all prompts; the same text may be right in answer to one and wrong to another",
        ),
        Misconception(
            "contradictions-by-prompt",
            _cleaner(contradiction=_contradicted(lambda row: row.prompt)),
            "verdicts on different responses to one prompt were taken for a contradiction; those are what pairs are made of",
        ),
        Misconception(
            "contradictions-majority",
            _cleaner(
                contradiction=_contradicted(
                    _shown, lambda row, ups: sum(up == row.up for up in ups) * 2 <= len(ups)
                )
            ),
            "the majority's verdict was kept; here every row of a response with both verdicts goes",
        ),
        Misconception(
            "contradictions-downs-only",
            _cleaner(contradiction=_contradicted(_shown, lambda row, ups: not row.up)),
            "of a response with both verdicts the thumbs-up were kept; all of its rows go",
        ),
        Misconception(
            "contradictions-several-votes",
            _cleaner(contradiction=_again(_shown, keep="none")),
            "every response with more than one vote was dropped; where the votes agree they stay",
        ),
        Misconception(
            "contradictions-last-kept",
            _cleaner(contradiction=_but_the_last),
            "of a response with both verdicts the last row was kept; all of its rows go",
        ),
        Misconception(
            "contradictions-first",
            _cleaner(("contradiction", *STEPS[:4])),
            "contradictions were looked for in the whole frame; a response counts that *still* has both verdicts after the other steps",
        ),
        Misconception(
            "dropped-by-labels",
            _by_labels,
            "rows were dropped by their index labels, but several rows may bear one label; select with a mask",
        ),
        Misconception(
            "nothing-dropped",
            _cleaner(()),
            "nothing was dropped",
        ),
        Misconception(
            "counts-independent",
            _counted(lambda rows: {step: len(_RIGHT[step](rows, rows)) for step in STEPS}),
            "each count is from the whole frame, so that a row with two faults counts twice; count what each step drops of what is left",
        ),
        Misconception(
            "counts-users",
            _counted(lambda rows: {"biased_user": len({row.user for row in _is_biased(rows, rows)})}),
            "biased users were counted, not their rows",
        ),
        Misconception(
            "counts-responses",
            _counted(
                lambda rows: {
                    "contradiction": len(
                        {_shown(row) for row in _contradicted(_shown)(_left_for("contradiction")(rows), rows)}
                    )
                }
            ),
            "contradicted responses were counted, not their rows",
        ),
        Misconception(
            "counts-contradictions-before-duplicates",
            _cleaner((*STEPS[:3], "contradiction", "duplicate")),
            "contradictions were dropped before the duplicates; the rows that are left are the same, the counts are not",
        ),
        Misconception(
            "counts-warnings-before-empty",
            _cleaner(("biased_user", "content_warning", "empty_response", *STEPS[3:])),
            "content warnings were dropped before the empty responses; the rows that are left are the same, the counts are not",
        ),
        Misconception(
            "counts-missing-as-contradiction",
            _cleaner(
                empty_response=_where(lambda row: row.response is not None and not row.response.strip()),
                contradiction=lambda kept, rows: (
                    _contradicted(_shown)([row for row in kept if row.response is not None], rows)
                    + [row for row in kept if row.response is None]
                ),
            ),
            "missing responses are not counted as empty: a comparison with the empty text is not true of them, and they fall out "
            "later, where rows are grouped by response",
        ),
        Misconception(
            "counts-only-found",
            _cleaner(counts=_only_if_any),
            'a step that dropped nothing has no count in `attrs["dropped"]`; all five are always there',
        ),
        Misconception(
            "counts-other-names",
            _cleaner(counts=lambda dropped: {step + "s": count for step, count in dropped.items()}),
            "the counts stand under other names than the five that are asked for",
        ),
        Misconception(
            "counts-kept",
            _rows_kept_counted,
            "rows that were kept were counted, not those that were dropped",
        ),
        Misconception(
            "counts-cumulative",
            _cleaner(counts=lambda dropped: dict(zip(dropped, accumulate(dropped.values()), strict=True))),
            "each count includes those of the steps before it",
        ),
        Misconception(
            "counts-shares",
            _cleaner(counts=lambda dropped: {step: float(count) for step, count in dropped.items()}),
            "the counts are no whole numbers",
        ),
        Misconception(
            "counts-total",
            _cleaner(counts=lambda dropped: sum(dropped.values())),
            'attrs["dropped"] is one number; a dict with a count for each step is wanted',
        ),
        Misconception(
            "no-counts",
            lambda feedback: pd.DataFrame(_cleaner()(feedback).to_dict("list")),
            'the result has no attrs["dropped"]; write it to the frame that you return, last',
        ),
        Misconception(
            "counts-on-the-input",
            _attrs_on_the_input,
            "the counts were written to the frame that was given, not to the result",
        ),
        Misconception(
            "column-left",
            _cleaner(finish=lambda kept: kept.assign(up=kept["feedback"] == UP)),
            "a column was added to the result; the rows stay as they are",
        ),
        Misconception(
            "warnings-invented",
            _cleaner(
                finish=lambda kept: kept if "content_warning" in kept else kept.assign(content_warning=False)
            ),
            "a frame without the column `content_warning` comes back with one; the rows stay as they are",
        ),
        Misconception(
            "column-gone",
            _cleaner(finish=lambda kept: kept.drop(columns="content_warning", errors="ignore")),
            "a column is missing from the result; the rows stay as they are",
        ),
        Misconception(
            "input-changed",
            _input_changed,
            "missing responses were filled in the frame that was given; work on a copy",
        ),
        Misconception(
            "input-column",
            _input_column,
            "a column was added to the frame that was given; work on a copy",
        ),
    ),
    alternatives={
        "loops": _with_loops,
        "masks": _with_masks,
        "filter": _with_filter,
        "merge": _with_sql_like_merge,
        "steps": _cleaner(),
    },
    hints=(
        "Take the steps one after the other: `before = len(kept)`, `kept = kept[mask]`, `dropped[step] = before - len(kept)`. "
        "A mask selects rows whatever the index is.",
        "`response.str.strip()` leaves a missing response missing: ask for `isna()` as well. Duplicates: `duplicated` with the "
        "four columns that count.",
        'For contradictions group what is *left* by prompt and response: `transform("nunique")` of the verdicts gives every '
        "row the number in its group.",
    ),
)
