"""04-kto-pipeline: a cleaned log as KTO rows and as pairs, and the weights of the two classes."""

import itertools
import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import ClassLabel, Dataset, Value

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.pipeline_logs import DOWN, INDEXES, UP, Fault, Log, listed, remembered, run
from course_utils.feedback.format import kto_weights, to_kto, to_pairs
from course_utils.words import type_of

# --- to-kto ---------------------------------------------------------------------------------------


def _columns(result, names):
    """The rows of a Dataset as {name: list}, a `Missing` for a column that is not there; or a `Missing`."""
    if not isinstance(result, Dataset):
        kind = "None (is there a `return`?)" if result is None else type_of(result)
        return Missing(f"{kind} where a datasets.Dataset is wanted")
    plain = result.with_format(None)
    missing = Missing(f"the column is missing; there are {', '.join(result.column_names)}")
    return {name: list(plain[name]) if name in result.column_names else missing for name in names}


def _extra_columns(result, names):
    extra = [name for name in result.column_names if name not in names]
    if not extra:
        return "none"
    kind = "index" if extra[0].startswith("__index") else "column"
    return Fault(f"there is a further column {extra[0]!r}", f"further {kind}")


def _observe_kto(function, case):
    """The three columns, the label's type apart from its truth, further columns."""
    result, error, inputs = run(function, case)
    if error:
        return {"error": error}
    names = ("prompt", "completion", "label")
    columns = _columns(result, names)
    if isinstance(columns, Missing):
        return dict.fromkeys((*names, "type", "further"), columns) | {"inputs": inputs}
    label = result.features.get("label")
    is_bool = isinstance(label, Value) and label.dtype == "bool"
    kind = label.dtype if isinstance(label, Value) else type(label).__name__
    return columns | {
        "label": _truths(columns["label"]),
        "type": "bool"
        if is_bool
        else Missing(f"the label's type is {kind} (as in {_example(columns)}), wanted bool"),
        "further": _extra_columns(result, names),
        "inputs": inputs,
    }


def _example(columns):
    """The largest of the labels, as text: it tells "True" from "thumbs_up", and 1 from 1.0."""
    labels = columns["label"]
    return max(map(repr, labels), default="") if isinstance(labels, list) else "no label"


def _truths(labels):
    """Labels as the words up and down, whatever their type, where one can tell."""
    if isinstance(labels, Missing):
        return labels
    words = {
        True: "up",
        False: "down",
        UP: "up",
        DOWN: "down",
        "True": "up",
        "False": "down",
        "1": "up",
        "0": "down",
    }
    return [words.get(label, str(label)) for label in labels]


def _plain_log(rng, rows=40):
    log = Log(rng)
    log.crowd(rows - 12)
    for text in ("42", " yes ", "a\nb", "naïve — ✓", "Yes, IT is", ""):
        log.add("odd", True, "what is it ?", text, warned=text == "42")
        log.add("odd", False, "and what not ? ", text)
    return log


def _as_case(log, label, index="plain", **kwargs):
    return Case((log.frame(index, **kwargs)[0],), label=label)


@remembered
def _kto_cases(rng):
    ups, one, twice = Log(rng), Log(rng), Log(rng)
    ups.votes("u", 7, 0)
    one.votes("u", 0, 1)
    for _ in range(3):
        twice.add("u", True, "what ?", "this")
        twice.add("v", False, "what ?", "this")
    return [
        _as_case(_plain_log(rng), "forty votes"),
        _as_case(_plain_log(rng), "forty votes, an index with repeated labels", "repeated", warning=False),
        _as_case(_plain_log(rng), "forty votes, an index of words", "words"),
        _as_case(ups, "thumbs-up only", "falling"),
        _as_case(one, "a single vote, thumbs-down"),
        _as_case(twice, "rows that are alike", "shuffled"),
    ]


@remembered
def _kto_form_cases(rng):
    return [
        _as_case(_plain_log(rng, 20), f"index {kind}", kind, warning=kind != "words") for kind in INDEXES[:4]
    ]


def _kto_from(edit):
    """An answer from an edit of the right columns: {name: list} to {name: list}, in order."""

    def answer(feedback):
        right = {
            "prompt": feedback["prompt"].tolist(),
            "completion": feedback["response"].tolist(),
            "label": (feedback["feedback"] == UP).tolist(),
        }
        return Dataset.from_dict(edit(right, feedback))

    return answer


def _picked(places):
    """The right columns at `places(feedback)` only."""

    def edit(columns, feedback):
        return {name: [values[i] for i in places(feedback)] for name, values in columns.items()}

    return _kto_from(edit)


def _texts(change):
    return _kto_from(lambda c, f: c | {k: [change(text) for text in c[k]] for k in ("prompt", "completion")})


def _labels(change):
    return _kto_from(lambda c, f: c | {"label": change(c["label"], f)})


def _class_labels(feedback):
    return to_kto(feedback).cast_column("label", ClassLabel(names=["down", "up"]))


def _kto_in_place(feedback):
    feedback["label"] = feedback["feedback"] == UP
    frame = feedback[["prompt", "response", "label"]].rename(columns={"response": "completion"})
    return Dataset.from_pandas(frame, preserve_index=False)


def _kto_with_index(feedback):
    frame = feedback.assign(label=feedback["feedback"] == UP, completion=feedback["response"])
    frame.index = pd.Index([f"r{i}" for i in range(len(frame))])
    return Dataset.from_pandas(frame[["prompt", "completion", "label"]])


def _kto_frame(feedback):
    frame = feedback.assign(label=feedback["feedback"] == UP, completion=feedback["response"])
    return frame[["prompt", "completion", "label"]]


def _first_places(feedback):
    return np.flatnonzero(~feedback.duplicated(["prompt", "response", "feedback"])).tolist()


TO_KTO = Exercise(
    id="to-kto",
    function="to_kto",
    reference=to_kto,
    observe=_observe_kto,
    parts=(
        Part("prompt and completion of every row, in order", 1, _kto_cases, ("prompt", "completion")),
        Part("label True for a thumbs-up", 1, _kto_cases, ("label",)),
        Part(
            "label is bool, no other column, frame unchanged",
            1,
            _kto_form_cases,
            ("type", "further", "inputs"),
        ),
    ),
    misconceptions=(
        Misconception(
            "label-turned",
            _labels(lambda labels, f: [not label for label in labels]),
            "the label is turned: True stands for thumbs-up",
        ),
        Misconception(
            "label-always-true",
            _labels(lambda labels, f: [bool(verdict) for verdict in f["feedback"]]),
            'every label is True: `bool("thumbs_down")` is True, as of any text that is not empty; compare with the verdict',
        ),
        Misconception(
            "label-int",
            _labels(lambda labels, f: [int(label) for label in labels]),
            "the label is 1 or 0; a bool is wanted",
        ),
        Misconception(
            "label-float",
            _labels(lambda labels, f: [float(label) for label in labels]),
            "the label is 1.0 or 0.0; a bool is wanted",
        ),
        Misconception(
            "label-truth-as-text",
            _labels(lambda labels, f: [str(label) for label in labels]),
            'the label is the text "True" or "False"; a bool is wanted',
        ),
        Misconception(
            "label-words",
            _labels(lambda labels, f: f["feedback"].tolist()),
            "the label is the verdict's text; a bool is wanted",
        ),
        Misconception(
            "label-class",
            _class_labels,
            "the label is a class label, a whole number with a name; a bool is wanted",
        ),
        Misconception(
            "label-plus-minus",
            _labels(lambda labels, f: [1 if label else -1 for label in labels]),
            "the label is 1 or -1; a bool is wanted",
        ),
        Misconception(
            "response-not-renamed",
            _kto_from(lambda c, f: {"prompt": c["prompt"], "response": c["completion"], "label": c["label"]}),
            "the column is still called `response`; the trainer reads `completion`",
        ),
        Misconception(
            "feedback-not-renamed",
            _kto_from(
                lambda c, f: {"prompt": c["prompt"], "completion": c["completion"], "feedback": c["label"]}
            ),
            "the column is still called `feedback`; the trainer reads `label`",
        ),
        Misconception(
            "swapped",
            _kto_from(lambda c, f: c | {"prompt": c["completion"], "completion": c["prompt"]}),
            "prompt and completion are exchanged",
        ),
        Misconception(
            "prompt-in-completion",
            _kto_from(
                lambda c, f: (
                    c | {"completion": [p + r for p, r in zip(c["prompt"], c["completion"], strict=True)]}
                )
            ),
            "the completion begins with the prompt; the trainer puts the two together itself",
        ),
        Misconception(
            "stripped",
            _texts(str.strip),
            "the texts were stripped; they stay as they are",
        ),
        Misconception(
            "right-stripped",
            _texts(str.rstrip),
            "the texts lost the white space at their ends; they stay as they are",
        ),
        Misconception(
            "left-stripped",
            _texts(str.lstrip),
            "the texts lost the white space at their beginnings; they stay as they are",
        ),
        Misconception(
            "space-added",
            _kto_from(lambda c, f: c | {"completion": [" " + text for text in c["completion"]]}),
            "a space was put in front of each completion; what stands between prompt and answer is the tokenizer's business",
        ),
        Misconception(
            "separator-added",
            _kto_from(lambda c, f: c | {"prompt": [text + "\n" for text in c["prompt"]]}),
            "something was put behind each prompt; the texts stay as they are",
        ),
        Misconception(
            "sorted-by-prompt",
            _picked(lambda f: np.argsort(f["prompt"].to_numpy(dtype=object), kind="stable").tolist()),
            "the rows were sorted by prompt, as after a groupby; they stay in the order of the frame",
        ),
        Misconception(
            "lower-case",
            _texts(str.lower),
            "the texts are in lower case; they stay as they are",
        ),
        Misconception(
            "blank-dropped",
            _picked(lambda f: np.flatnonzero(f["response"].str.strip() != "").tolist()),
            "rows with an empty response were dropped; that is the cleaning's business, here every row of the frame makes one",
        ),
        Misconception(
            "warned-dropped",
            _picked(
                lambda f: np.flatnonzero(
                    ~f["content_warning"] if "content_warning" in f else np.ones(len(f))
                ).tolist()
            ),
            "rows with a content warning were dropped; that is the cleaning's business, here every row of the frame makes one",
        ),
        Misconception(
            "ascii-only",
            _texts(lambda text: text.encode("ascii", "ignore").decode()),
            "letters that are not ASCII are gone from the texts; they stay as they are",
        ),
        Misconception(
            "messages",
            _kto_from(
                lambda c, f: (
                    c
                    | {
                        "prompt": [[{"role": "user", "content": p}] for p in c["prompt"]],
                        "completion": [[{"role": "assistant", "content": r}] for r in c["completion"]],
                    }
                )
            ),
            "the texts were wrapped in messages; here they stay texts",
        ),
        Misconception(
            "ups-only",
            _picked(lambda f: np.flatnonzero(f["feedback"] == UP).tolist()),
            "only the thumbs-up are there; KTO learns from both",
        ),
        Misconception(
            "ups-first",
            _picked(lambda f: np.argsort(f["feedback"] == DOWN, kind="stable").tolist()),
            "the thumbs-up come first; the rows stay in order",
        ),
        Misconception(
            "sorted",
            _picked(lambda f: np.argsort(f["timestamp"].to_numpy(), kind="stable").tolist()),
            "the rows were sorted by time; they stay in the order of the frame",
        ),
        Misconception(
            "duplicates-dropped",
            _picked(_first_places),
            "rows that are alike were dropped; every row of the frame makes one",
        ),
        Misconception(
            "index-kept",
            _kto_with_index,
            "the frame's index came along as a column; `preserve_index=False` leaves it out",
        ),
        Misconception(
            "columns-kept",
            _kto_from(lambda c, f: c | {"user_id": f["user_id"].tolist()}),
            "further columns came along; only three are wanted",
        ),
        Misconception(
            "a-frame",
            _kto_frame,
            "a DataFrame was returned; a datasets.Dataset is wanted",
        ),
        Misconception(
            "a-list",
            lambda feedback: to_kto(feedback).to_list(),
            "a list was returned; a datasets.Dataset is wanted",
        ),
        Misconception(
            "input-column",
            _kto_in_place,
            "a column was added to the frame that was given; work on a copy",
        ),
    ),
    alternatives={
        "from_pandas": lambda feedback: Dataset.from_pandas(
            pd.DataFrame(
                {
                    "label": feedback["feedback"].eq(UP),
                    "completion": feedback["response"],
                    "prompt": feedback["prompt"],
                }
            ),
            preserve_index=False,
        ),
        "from_list": lambda feedback: Dataset.from_list(
            [
                {"prompt": row.prompt, "completion": row.response, "label": row.feedback == UP}
                for row in feedback.itertuples(index=False)
            ]
        ),
        "arrow": lambda feedback: Dataset(
            pa.table(
                {
                    "prompt": pa.array(feedback["prompt"], pa.large_string()),
                    "completion": pa.array(feedback["response"], pa.large_string()),
                    "label": pa.array(feedback["feedback"].to_numpy() == UP),
                }
            )
        ),
        "map": lambda feedback: (
            Dataset.from_pandas(feedback[["prompt", "response", "feedback"]].reset_index(drop=True))
            .map(lambda row: {"label": row["feedback"] == UP})
            .rename_column("response", "completion")
            .remove_columns("feedback")
        ),
    },
    hints=(
        'A column compared with a text gives bools: `feedback["feedback"] == "thumbs_up"`.',
        "`datasets.Dataset.from_dict` takes a dict of lists; `.tolist()` leaves the index behind.",
        "Three columns: prompt as it is, response under the name completion, and the comparison under the name label.",
    ),
)

# --- to-pairs --------------------------------------------------------------------------------------


def _observe_pairs(function, case):
    """What is wrong with any pair, how many each prompt has, and copies: which pairs were taken is free."""
    result, error, inputs = run(function, case)
    if error:
        return {"error": error}
    names = ("prompt", "chosen", "rejected")
    columns = _columns(result, names)
    if isinstance(columns, dict):
        missing = [Missing(f"{n}: {c.words}") for n, c in columns.items() if isinstance(c, Missing)]
        columns = missing[0] if missing else columns
    if isinstance(columns, Missing):
        return dict.fromkeys(("pairs", "some", "number", "distinct", "itself", "further"), columns) | {
            "inputs": inputs
        }
    rows = list(zip(*(map(str, columns[n]) for n in names), strict=True))
    count, copies = Counter(row[0] for row in rows), len(rows) - len(set(rows))
    frame = case.args[0]
    prompts = sorted(set(frame["prompt"]))
    return {
        "pairs": _fault(frame, rows),
        "some": {f"pairs of {prompt!r}": "some" if count[prompt] else "none" for prompt in prompts},
        "number": {f"pairs of {prompt!r}": count[prompt] for prompt in prompts},
        "distinct": Missing("a pair is there more than once") if copies else "all different",
        "itself": Missing("a text is paired with itself") if any(c == r for _, c, r in rows) else "never",
        "further": _extra_columns(result, names),
        "inputs": inputs,
    }


def _fault(frame, rows):
    """ "sound", or what is wrong with the first pair that is no up and down of one prompt."""
    votes = {}
    for prompt, response, verdict in zip(
        *(listed(frame[c]) for c in ("prompt", "response", "feedback")), strict=True
    ):
        votes.setdefault(prompt, {UP: set(), DOWN: set()})[verdict].add(response)
    texts = {text for sides in votes.values() for side in sides.values() for text in side}
    for prompt, chosen, rejected in rows:
        own = votes.get(prompt)
        if own is None:
            return Missing("there is a prompt that the frame does not have")
        if chosen not in own[UP]:
            return Missing(f"a chosen response {_why(chosen, own[DOWN], texts, 'thumbs-up')}")
        if rejected not in own[DOWN]:
            return Missing(f"a rejected response {_why(rejected, own[UP], texts, 'thumbs-down')}")
    return "sound"


def _why(text, others, texts, wanted):
    if text in others:
        return f"has no {wanted}"
    return "belongs to another prompt" if text in texts else "is no text of the frame"


def _asked(log, prompt, ups, downs, both=0):
    """A prompt with so many different responses of each verdict, and `both` texts that have both."""
    for k in range(ups):
        log.add(f"u{k}", True, prompt, f"good {k} on {prompt}")
    for k in range(downs):
        log.add(f"d{k}", False, prompt, f"bad {k} on {prompt}")
    for k in range(both):
        log.add(f"u{k}", True, prompt, f"mixed {k} on {prompt}")
        log.add(f"d{k}", False, prompt, f"mixed {k} on {prompt}")


def _pairs_case(rng, sizes, label, cap=None, index="plain", positional=False, **kwargs):
    log = Log(rng)
    for i, size in enumerate(sizes):
        _asked(log, f"question {i}", *size)
    frame = log.frame(index, **kwargs)[0]
    if cap is not None and positional:
        return Case((frame, cap), label=label)
    return Case((frame,), {} if cap is None else {"max_pairs_per_prompt": cap}, label=label)


@remembered
def _sound_cases(rng):
    some = [(1, 1), (2, 1), (1, 3), (2, 0), (0, 3), (2, 2), (3, 4)]
    alike = Log(rng)
    for prompt, up in (("is it so ?", True), ("is it not so ?", False), ("is it either ?", True)):
        alike.add("u1", up, prompt, "yes")
        alike.add("u2", not up, prompt, "no")
        alike.add("u3", not up, prompt, "perhaps")
    return [
        _pairs_case(rng, some, "seven prompts, two of them with one verdict only"),
        _pairs_case(
            rng, some[::-1], "seven prompts, an index with repeated labels", index="repeated", warning=False
        ),
        Case((alike.frame("words")[0],), label="the same texts in answer to several prompts"),
    ]


@remembered
def _number_cases(rng):
    cap = int(rng.integers(5, 9))
    return [
        _pairs_case(rng, [(5, 6), (4, 1), (1, 1), (3, 3), (2, 1)], "five prompts, the usual cap of 4"),
        _pairs_case(
            rng, [(3, 5), (2, 2), (1, 4), (6, 1)], "four prompts, a cap of 1", 1, "falling", positional=True
        ),
        _pairs_case(
            rng, [(3, 5), (2, 2), (1, 3), (6, 6), (2, 6)], f"five prompts, a cap of {cap}", cap, "repeated"
        ),
        _pairs_case(rng, [(3, 4), (5, 5), (2, 1)], "three prompts, a cap of 100", 100),
        _pairs_case(rng, [(9, 9), (9, 9), (9, 9)], "three prompts of 81 pairs, a cap of 20", 20, "words"),
    ]


@remembered
def _twice_cases(rng):
    copies = Log(rng)
    for prompt, times in (("question a", 3), ("question b", 2)):
        for user in range(times):
            copies.add(f"u{user}", True, prompt, f"good on {prompt}")
            copies.add(f"v{user}", False, prompt, f"bad on {prompt}")
        copies.add("w", False, prompt, f"worse on {prompt}")
    popular = Log(rng)
    for up, text, votes in ((True, "good", 6), (False, "bad", 6), (True, "better", 1), (False, "worse", 1)):
        for user in range(votes):
            popular.add(f"u{user}", up, "what then ?", text)
    both, spaced = Log(rng), Log(rng)
    for prompt, sides in (
        ("question a", (("x",), ("x", "y", "z"))),
        ("question b", (("x", "y", "z"), ("x",))),
    ):
        for up, texts in zip((True, False), sides, strict=True):
            for text in texts:
                both.add("u", up, prompt, f"{text} on {prompt}")
    for up, text in ((True, "yes"), (False, "yes "), (False, " yes"), (True, "yes\n"), (False, "no ")):
        spaced.add("u", up, "what ?", text)
    for up in (True, False):
        spaced.add("u", up, "What ? ", f"{up} enough")
    ordered = both.frame(shuffle=False)[0]
    return [
        Case((copies.frame("shuffled")[0],), label="responses that several users voted on"),
        Case(
            (popular.frame(shuffle=False)[0],),
            label="a response with six thumbs-up and one with six thumbs-down first",
        ),
        Case((ordered, 2), label="the first thumbs-up is the first thumbs-down as well, a cap of 2"),
        Case((ordered, 1), label="the first thumbs-up is the first thumbs-down as well, a cap of 1"),
        Case((spaced.frame()[0],), label="texts that differ by white space only"),
        _pairs_case(
            rng, [(0, 0, 1), (1, 1, 1), (1, 0, 1), (0, 2, 1), (0, 0, 2)], "texts with both verdicts", 10
        ),
        _pairs_case(
            rng, [(2, 2, 1), (0, 0, 3), (1, 1)], "texts with both verdicts, the usual cap", index="repeated"
        ),
    ]


@remembered
def _pairs_form_cases(rng):
    return [
        _pairs_case(
            rng, [(2, 2), (3, 1), (1, 2)], f"three prompts, index {kind}", index=kind, warning=kind != "words"
        )
        for kind in INDEXES[:4]
    ]


def _sides(feedback):
    """{prompt: (ups, downs)}: lists of texts in order, copies included."""
    sides = {}
    for prompt, response, verdict in zip(
        *(listed(feedback[c]) for c in ("prompt", "response", "feedback")), strict=True
    ):
        sides.setdefault(prompt, ([], []))[0 if verdict == UP else 1].append(response)
    return sides


def _unique(texts):
    return list(dict.fromkeys(texts))


def _all_pairs(ups, downs):
    return [(u, d) for u, d in itertools.product(_unique(ups), _unique(downs)) if u != d]


def _paired(pick, turn=False, extra=None):
    """An answer that picks each prompt's pairs: `pick(ups, downs, cap)` to a list of (chosen, rejected)."""

    def answer(feedback, max_pairs_per_prompt=4):
        rows = [
            (p, *pair) for p, (u, d) in _sides(feedback).items() for pair in pick(u, d, max_pairs_per_prompt)
        ]
        return _pairs_set(rows)

    return answer


def _pairs_set(rows, names=("prompt", "chosen", "rejected")):
    return Dataset.from_dict({name: [row[i] for row in rows] for i, name in enumerate(names)})


def _right_pairs(u, d, cap):
    return _all_pairs(u, d)[:cap]


def _across_prompts(feedback, max_pairs_per_prompt=4):
    sides = _sides(feedback)
    downs = [d for _, down in sides.values() for d in down]
    rows = [
        (p, u, d)
        for p, (up, _) in sides.items()
        for u, d in _all_pairs(up, downs[::-1])[:max_pairs_per_prompt]
    ]
    return _pairs_set(rows)


def _global_cap(feedback, max_pairs_per_prompt=4):
    """The quiz's cap: a running total over all prompts that is tested for a multiple."""
    rows = []
    for prompt, (ups, downs) in _sides(feedback).items():
        for pair in _all_pairs(ups, downs):
            rows.append((prompt, *pair))
            if len(rows) % max_pairs_per_prompt == 0:
                break
    return _pairs_set(rows)


def _running_total(feedback, max_pairs_per_prompt=4):
    """The same, where only the inner loop is left."""
    rows = []
    for prompt, (ups, downs) in _sides(feedback).items():
        for chosen in _unique(ups):
            for rejected in _unique(downs):
                rows.append((prompt, chosen, rejected))
                if len(rows) % max_pairs_per_prompt == 0:
                    break
    return _pairs_set(rows)


def _total_cap(feedback, max_pairs_per_prompt=4):
    rows = [(p, *pair) for p, (u, d) in _sides(feedback).items() for pair in _all_pairs(u, d)]
    return _pairs_set(rows[:max_pairs_per_prompt])


def _without_mixed(u, d, cap):
    mixed = set(u) & set(d)
    return _all_pairs([t for t in u if t not in mixed], [t for t in d if t not in mixed])[:cap]


def _pairs_of_users(feedback, max_pairs_per_prompt=4):
    """Pairs of votes by the same user only."""
    rows = []
    for prompt, group in feedback.groupby("prompt", sort=False):
        pairs = []
        for _, own in group.groupby("user_id", sort=False):
            pairs += _all_pairs(
                own["response"][own["feedback"] == UP], own["response"][own["feedback"] == DOWN]
            )
        rows += [(prompt, *pair) for pair in pairs[:max_pairs_per_prompt]]
    return Dataset.from_pandas(pd.DataFrame(rows, columns=["prompt", "chosen", "rejected"]).astype(str))


def _pairs_in_place(feedback, max_pairs_per_prompt=4):
    result = _paired(_right_pairs)(feedback, max_pairs_per_prompt)
    feedback["label"] = feedback["feedback"] == UP
    return result


def _with_merge(feedback, max_pairs_per_prompt=4):
    slim = feedback[["prompt", "response", "feedback"]].drop_duplicates()
    ups, downs = slim[slim["feedback"] == UP], slim[slim["feedback"] == DOWN]
    pairs = ups.merge(downs, on="prompt", suffixes=("_up", "_down"))
    pairs = pairs[pairs["response_up"] != pairs["response_down"]].sample(frac=1, random_state=1)
    pairs = pairs.groupby("prompt").head(max_pairs_per_prompt)
    pairs = pairs.rename(columns={"response_up": "chosen", "response_down": "rejected"})
    return Dataset.from_pandas(pairs[["prompt", "chosen", "rejected"]], preserve_index=False)


def _with_sampling(feedback, max_pairs_per_prompt=4):
    generator, rows = random.Random(3), []
    for prompt, (ups, downs) in sorted(_sides(feedback).items()):
        pairs = sorted({(u, d) for u in ups for d in downs if u != d})
        for chosen, rejected in generator.sample(pairs, min(max_pairs_per_prompt, len(pairs))):
            rows.append({"rejected": rejected, "chosen": chosen, "prompt": prompt})
    generator.shuffle(rows)
    return Dataset.from_list(rows)


def _with_generator(feedback, max_pairs_per_prompt=4):
    columns = {"prompt": [], "chosen": [], "rejected": []}
    for prompt in feedback["prompt"].unique():
        own = feedback.loc[(feedback["prompt"] == prompt).to_numpy()]
        ups = set(own.loc[(own["feedback"] == UP).to_numpy(), "response"])
        downs = set(own.loc[(own["feedback"] == DOWN).to_numpy(), "response"])
        lazy = ((u, d) for u in ups for d in downs if u != d)
        for chosen, rejected in itertools.islice(lazy, max_pairs_per_prompt):
            for name, text in zip(columns, (prompt, chosen, rejected), strict=True):
                columns[name].append(text)
    return Dataset.from_dict(columns)


TO_PAIRS = Exercise(
    id="to-pairs",
    function="to_pairs",
    reference=to_pairs,
    observe=_observe_pairs,
    parts=(
        Part("a thumbs-up and a thumbs-down response of that prompt", 1.5, _sound_cases, ("pairs", "some")),
        Part(
            "min(cap, all there are) pairs of each prompt",
            1.5,
            _number_cases,
            ("pairs", "number", "distinct"),
        ),
        Part(
            "all different, no text against itself",
            1,
            _twice_cases,
            ("pairs", "number", "distinct", "itself"),
        ),
        Part("three columns, frame unchanged", 1, _pairs_form_cases, ("further", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "turned",
            _paired(lambda u, d, cap: [(b, a) for a, b in _right_pairs(u, d, cap)]),
            "chosen and rejected are exchanged",
        ),
        Misconception(
            "across-prompts",
            _across_prompts,
            "responses to different prompts were paired; a pair compares two answers to the same question",
        ),
        Misconception(
            "any-two",
            _paired(lambda u, d, cap: list(itertools.combinations(_unique(u + d), 2))[:cap]),
            "any two responses of a prompt were paired, whatever their verdicts",
        ),
        Misconception(
            "zipped",
            _paired(
                lambda u, d, cap: [p for p in zip(_unique(u), _unique(d), strict=False) if p[0] != p[1]][:cap]
            ),
            "each response was used once; a thumbs-up can be paired with every thumbs-down of its prompt",
        ),
        Misconception(
            "copies-after-cap",
            _paired(
                lambda u, d, cap: _unique(
                    [pair for pair in itertools.product(u, d) if pair[0] != pair[1]][:cap]
                )
            ),
            "copies were removed after the cap, so that other pairs' places were lost; remove them first",
        ),
        Misconception(
            "one-pair",
            _paired(lambda u, d, cap: _all_pairs(u, d)[:1]),
            "there is one pair a prompt, whatever the cap allows",
        ),
        Misconception(
            "first-chosen-only",
            _paired(lambda u, d, cap: _all_pairs(_unique(u)[:1], d)[:cap]),
            "only one thumbs-up of each prompt was paired; others go with the same thumbs-down too",
        ),
        Misconception(
            "first-rejected-only",
            _paired(lambda u, d, cap: _all_pairs(u, _unique(d)[:1])[:cap]),
            "only one thumbs-down of each prompt was paired; others go with the same thumbs-up too",
        ),
        Misconception(
            "cap-per-response",
            _paired(lambda u, d, cap: [pair for text in _unique(u) for pair in _all_pairs([text], d)[:cap]]),
            "the cap was put on each thumbs-up response; it is for each prompt",
        ),
        Misconception(
            "no-cap",
            _paired(lambda u, d, cap: _all_pairs(u, d)),
            "the cap has no effect: a prompt that many asked fills the data",
        ),
        Misconception(
            "default-cap",
            _paired(lambda u, d, cap: _all_pairs(u, d)[:4]),
            "the cap is 4 whatever `max_pairs_per_prompt` says",
        ),
        Misconception(
            "global-cap",
            _global_cap,
            "the cap was tested on the running total of all prompts, so that a prompt's number of pairs depends on those "
            "before it; count for each prompt",
        ),
        Misconception(
            "running-total",
            _running_total,
            "the cap was tested on the running total of all prompts, and only ends a response's turn; count for each prompt",
        ),
        Misconception(
            "total-cap",
            _total_cap,
            "the cap was put on the whole dataset; it is for each prompt",
        ),
        Misconception(
            "one-too-many",
            _paired(lambda u, d, cap: _all_pairs(u, d)[: cap + 1]),
            "a prompt has one pair more than the cap allows",
        ),
        Misconception(
            "one-too-few",
            _paired(lambda u, d, cap: _all_pairs(u, d)[: max(cap - 1, 1)]),
            "a prompt has one pair less than the cap allows",
        ),
        Misconception(
            "itself-after-cap",
            _paired(
                lambda u, d, cap: [
                    p
                    for p in list(itertools.product(sorted(set(u)), sorted(set(d)), repeat=1))[:cap]
                    if p[0] != p[1]
                ]
            ),
            "a text against itself was removed after the cap, so that another pair's place was lost",
        ),
        Misconception(
            "sides-cut",
            _paired(lambda u, d, cap: _all_pairs(_unique(u)[:cap], _unique(d)[:cap])[:cap]),
            "each side was cut to the cap before a text against itself was removed, so that another pair's place was lost; cut the pairs",
        ),
        Misconception(
            "stripped",
            _paired(lambda u, d, cap: _all_pairs([t.strip() for t in u], [t.strip() for t in d])[:cap]),
            "the texts were stripped; two texts that differ by a space are two, and they stay as they are",
        ),
        Misconception(
            "compared-stripped",
            _paired(lambda u, d, cap: [(a, b) for a, b in _all_pairs(u, d) if a.strip() != b.strip()][:cap]),
            "texts that differ by white space only were taken for the same; they are two",
        ),
        Misconception(
            "responses-capped",
            _paired(
                lambda u, d, cap: _all_pairs(_unique(u)[: math.isqrt(cap)], _unique(d)[: math.isqrt(cap)])[
                    :cap
                ]
            ),
            "the responses were cut before they were paired, so that there are fewer pairs than the cap allows",
        ),
        Misconception(
            "rich-prompts-only",
            _paired(lambda u, d, cap: _right_pairs(u, d, cap) if len(_all_pairs(u, d)) >= cap else []),
            "prompts with fewer pairs than the cap were left out; they give all they have",
        ),
        Misconception(
            "votes-not-texts",
            _paired(lambda u, d, cap: [(a, b) for a in u for b in d if a != b][:cap]),
            "a response that several users voted on was paired once a vote; pairs are of different texts",
        ),
        Misconception(
            "with-replacement",
            _paired(lambda u, d, cap: [p for p in (_all_pairs(u, d) * cap)[:cap]]),
            "a pair was taken more than once to reach the cap; fewer pairs are right where there are no more",
        ),
        Misconception(
            "itself",
            _paired(lambda u, d, cap: list(itertools.product(_unique(u), _unique(d)))[:cap]),
            "a text with both verdicts was paired with itself",
        ),
        Misconception(
            "mixed-left-out",
            _paired(_without_mixed),
            "texts with both verdicts were left out; they make a pair with another text, only not with themselves",
        ),
        Misconception(
            "same-user",
            _pairs_of_users,
            "only votes of the same user were paired; any thumbs-up and thumbs-down of the prompt will do here",
        ),
        Misconception(
            "other-names",
            lambda feedback, max_pairs_per_prompt=4: to_pairs(feedback, max_pairs_per_prompt).rename_columns(
                {"chosen": "response_a", "rejected": "response_b"}
            ),
            "the columns are not called prompt, chosen and rejected",
        ),
        Misconception(
            "further-column",
            lambda feedback, max_pairs_per_prompt=4: (
                lambda pairs: pairs.add_column("score", [1.0] * len(pairs))
            )(to_pairs(feedback, max_pairs_per_prompt)),
            "there is a further column; three are wanted",
        ),
        Misconception(
            "a-frame",
            lambda feedback, max_pairs_per_prompt=4: to_pairs(feedback, max_pairs_per_prompt).to_pandas(),
            "a DataFrame was returned; a datasets.Dataset is wanted",
        ),
        Misconception(
            "a-list",
            lambda feedback, max_pairs_per_prompt=4: to_pairs(feedback, max_pairs_per_prompt).to_list(),
            "a list was returned; a datasets.Dataset is wanted",
        ),
        Misconception(
            "input-column",
            _pairs_in_place,
            "a column was added to the frame that was given; work on a copy",
        ),
    ),
    alternatives={
        "merge": _with_merge,
        "sampling": _with_sampling,
        "generator": _with_generator,
        "product": _paired(_right_pairs),
    },
    hints=(
        "Group by prompt. In each group collect the different texts with a thumbs-up, and those with a thumbs-down.",
        "All pairs of a prompt are the product of the two, but for a text with itself: `itertools.product`.",
        "Then take at most `max_pairs_per_prompt` of them, counted for each prompt by itself: `itertools.islice` or a slice.",
    ),
)

# --- kto-weights -----------------------------------------------------------------------------------


def _observe_weights(function, case):
    """Two weights in words: which of them is 1, and where the ratio lies."""
    result, error, _ = run(function, case)
    if error:
        return {"error": error}
    try:
        desirable, undesirable = (float(weight) for weight in result)
    except (TypeError, ValueError, OverflowError):
        kind = "None (is there a `return`?)" if result is None else type_of(result)
        words = Missing(f"{kind} where two numbers are wanted")
        return {"ratio": words, "one": words}
    ratio = desirable * case.args[0] / (undesirable * case.args[1]) if undesirable else math.inf
    inside = 1 - 1e-6 <= ratio <= 1.5 + 1e-6 and desirable > 0
    one = any(math.isclose(weight, 1, rel_tol=1e-9) for weight in (desirable, undesirable))
    both = f"({desirable:.4g}, {undesirable:.4g})"
    return {
        "ratio": "inside" if inside else Missing(f"{both}: the ratio is {ratio:.4g}, outside [1, 3/2]"),
        "one": "yes" if one else Missing(f"{both}: neither of the weights is 1"),
    }


def _weight_cases(counts):
    def cases(draw):
        return [Case(pair, label=f"{pair[0]} desirable, {pair[1]} undesirable") for pair in counts(draw)]

    return cases


def _more_up(draw):
    n = draw.integer(100, 900)
    return [(65, 35), (6500, 3500), (40 * n + 7, 9 * n), (900_000, 3), (7, 1), (1600, 1000), (3 * n, n)]


def _more_down(draw):
    n = draw.integer(100, 900)
    return [(35, 65), (9 * n, 40 * n + 7), (3, 900_000), (1, 7), (990, 1000), (499, 500), (n, 3 * n)]


def _even(draw):
    n = draw.integer(100, 900)
    return [(1000, 1000), (1200, 1000), (13 * n, 10 * n), (1, 1), (149, 100)]


def _weights(rule):
    """An answer from the two counts, as floats."""
    return lambda n_desirable, n_undesirable: rule(float(n_desirable), float(n_undesirable))


def _only_more_up(d, u):
    return (1.0, max(1.0, d / u / 1.25))


def _exact(n_desirable, n_undesirable):
    ratio, target = Fraction(n_desirable, n_undesirable), Fraction(5, 4)
    return (1.0, float(ratio / target)) if ratio > target else (float(target / ratio), 1.0)


def _searched(n_desirable, n_undesirable):
    """Steps of a per cent until the ratio is inside."""
    weights = np.array([1.0, 1.0])
    while not 1 <= (ratio := weights[0] * n_desirable / (weights[1] * n_undesirable)) <= 1.5:
        weights[int(ratio > 1.5)] *= 1.01
    return weights


KTO_WEIGHTS = Exercise(
    id="kto-weights",
    function="kto_weights",
    reference=kto_weights,
    observe=_observe_weights,
    parts=(
        Part(
            "ratio in [1, 3/2], more thumbs-up",
            1,
            _weight_cases(_more_up),
            ("ratio", "one"),
            independent=True,
        ),
        Part(
            "ratio in [1, 3/2], more thumbs-down",
            1,
            _weight_cases(_more_down),
            ("ratio", "one"),
            independent=True,
        ),
        Part("ratio in [1, 3/2], about as many of each", 1, _weight_cases(_even), ("ratio", "one")),
    ),
    misconceptions=(
        Misconception(
            "both-1",
            _weights(lambda d, u: (1.0, 1.0)),
            "both weights are 1 whatever the counts are; then the ratio is that of the counts",
        ),
        Misconception(
            "swapped",
            lambda n_desirable, n_undesirable: _exact(n_desirable, n_undesirable)[::-1],
            "the two weights are exchanged; the desirable one comes first",
        ),
        Misconception(
            "only-more-up",
            _weights(_only_more_up),
            "only logs with more thumbs-up were thought of; with few of them their own weight has to rise",
        ),
        Misconception(
            "only-more-down",
            _weights(lambda d, u: (max(1.0, 1.25 * u / d), 1.0)),
            "only logs with more thumbs-down were thought of; with many thumbs-up a weight has to change as well",
        ),
        Misconception(
            "product-of-weights",
            _weights(lambda d, u: (1.0, u / d * 1.25)),
            "the weight is the ratio of the counts the wrong way up: the rarer class needs the larger weight",
        ),
        Misconception(
            "undesirable-over-desirable",
            _weights(lambda d, u: (1.0, 1.25 * d / u)),
            "the interval was asked of λ_U n_U / (λ_D n_D); it is λ_D n_D over λ_U n_U that lies in [1, 3/2]",
        ),
        Misconception(
            "wrong-side-of-1",
            _weights(lambda d, u: (1.0, 1.25 * d / u) if d > u else (1.25 * u / d, 1.0)),
            "with more thumbs-up the ratio comes out below 1: λ_U stands below the line, so there the factor that leads into the "
            "interval divides",
        ),
        Misconception(
            "wrong-side-of-1-with-more-down",
            _weights(lambda d, u: (1.0, d / u / 1.25) if d > u else (u / d / 1.25, 1.0)),
            "with more thumbs-down the ratio comes out below 1: λ_D stands above the line, so there the factor that leads into the "
            "interval multiplies",
        ),
        Misconception(
            "balanced-classes",
            _weights(lambda d, u: ((d + u) / (2 * d), (d + u) / (2 * u))),
            "both weights were changed, as in the usual weighting of classes; one of them stays 1",
        ),
        Misconception(
            "shares",
            _weights(lambda d, u: (u / (d + u), d / (d + u))),
            "the weights are the shares of the other class; one of them is to be 1",
        ),
        Misconception(
            "ratio-of-weights",
            _weights(lambda d, u: (1.0, 0.8)),
            "the ratio of the weights alone was put in the interval; the counts belong in it",
        ),
        Misconception(
            "shares-turned",
            _weights(lambda d, u: (d / u, 1.0)),
            "the weight was put on the class that is the larger already",
        ),
        Misconception(
            "counts-turned",
            _weights(lambda d, u: (1.0, u / d)),
            "with the counts' ratio the wrong way up the imbalance is squared, not taken away",
        ),
        Misconception(
            "loss-averse",
            _weights(lambda d, u: (1.0, 2.25)),
            "the thumbs-down got a fixed larger weight, as if by loss aversion; the counts decide",
        ),
        Misconception(
            "loss-averse-mild",
            _weights(lambda d, u: (1.0, 1.5)),
            "3/2 is the upper end for the ratio, not a weight",
        ),
        Misconception(
            "whole-numbers",
            lambda n_desirable, n_undesirable: (
                (
                    1.0,
                    float(max(1, n_desirable // n_undesirable)),
                )
                if n_desirable >= n_undesirable
                else (float(n_undesirable // n_desirable), 1.0)
            ),
            "the weights were rounded to whole numbers, with `//`; the ratio then misses the interval",
        ),
        Misconception(
            "square-root",
            _weights(lambda d, u: (1.0, math.sqrt(d / u)) if d > u else (math.sqrt(u / d), 1.0)),
            "the square root of the counts' ratio leaves part of the imbalance",
        ),
        Misconception(
            "symmetric",
            _weights(lambda d, u: (1.0, 1.0) if 2 / 3 <= d / u <= 1.5 else (1.0, d / u / 1.25)),
            "counts with a ratio from 2/3 were let be; the interval begins at 1",
        ),
        Misconception(
            "capped-at-10",
            _weights(
                lambda d, u: (
                    (1.0, min(d / u / 1.25, 10.0))
                    if d > 1.5 * u
                    else (min(max(1.25 * u / d, 1.0), 10.0), 1.0)
                )
            ),
            "the weight was capped, so that rare classes stay too light; the interval has no exception",
        ),
        Misconception(
            "rounded",
            _weights(lambda d, u: (1.0, round(d / u / 1.25, 2)) if d > u else (round(1.25 * d / u, 2), 1.0)),
            "with more thumbs-down the weight is 1.25 n_D / n_U; it is the other way up",
        ),
    ),
    alternatives={
        "always the undesirable": _weights(lambda d, u: (1.0, d / (1.25 * u))),
        "always the desirable": _weights(lambda d, u: (1.2 * u / d, 1)),
        "ratio of 1": _weights(lambda d, u: [1.0, d / u]),
        "ratio of 3/2": _weights(lambda d, u: (1.5 * u / d, 1.0)),
        "fractions": _exact,
        "searched": _searched,
    },
    hints=(
        "Write the paper's condition down with the counts put in, and set one weight to 1: what is left is an interval for the other.",
        "With λ_D = 1: n_D / (λ_U n_U) must lie in [1, 3/2], so λ_U lies between n_D / (1.5 n_U) and n_D / n_U.",
        "Any value in that interval is right, whichever class is the larger.",
    ),
)
