"""04-kto-pipeline: failures of a running service, and its latency."""

import math
import statistics
from collections import Counter
from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import describe_error, observe_call, quietly
from course_utils.serving.monitor import detect_failures, p95
from course_utils.words import type_of

_NAMES = ("length_explosion", "repetition", "safety_spike", "feedback_drop")


# --- detect-failures: how it is looked at ---------------------------------------------------------


def _observe_failures(function, case):
    """Of each failure whether it is reported; what else there is in the list, and the order."""
    args = tuple(frame.copy(deep=True) for frame in case.args)
    try:
        found = quietly(function, *args)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    changed = [n for n, a, b in zip(("window", "baseline"), args, case.args, strict=True) if not _equal(a, b)]
    return _reported(found) | {
        "inputs": f"{changed[0]} was changed by your function; work on a copy" if changed else "unchanged",
    }


def _reported(found):
    if not isinstance(found, (list, tuple, np.ndarray, pd.Series, pd.Index)):
        kind = "None (is there a `return`?)" if found is None else type_of(found)
        return dict.fromkeys((*_NAMES, "list"), f"{kind}, not a list")
    names = [str(name) for name in found]
    seen = {name: "reported" if name in names else "not reported" for name in _NAMES}
    return seen | {"list": ", ".join(names) or "no failure"}


def _equal(a, b):
    return a.equals(b) and list(a.columns) == list(b.columns) and a.index.equals(b.index)


# --- detect-failures: cases -----------------------------------------------------------------------

_SYLLABLES = ("ba", "co", "den", "fil", "go", "hum", "ik", "jo", "kel", "lam", "mu", "nor", "os", "pri", "qua", "ru", "sen", "tol", "ul", "ves")  # fmt: skip
_WORDS = np.array([a + b for a in _SYLLABLES for b in _SYLLABLES])
_LETTERS = 6.0  # of a word and its space, about


def _text(length, repeats, words):
    """Different words, about `length` characters of them; with `repeats`, four words again and again.

    No bigram comes twice without `repeats`, so that the repetition of a frame is known beforehand.
    """
    n = max(3, round(length / _LETTERS))
    return " ".join((words[:4] * n)[:n] if repeats else words[:n])


def _frame(rng, n, length=90, repeated=0.1, warned=0.05, down=0.35, index=False):
    """A log; the shares are met to the row, so that no chance makes a z of its own."""
    flags = [np.arange(n) < round(share * n) for share in (repeated, warned, down)]
    for flag in flags:
        rng.shuffle(flag)
    repeats, warnings, downs = flags
    sizes = np.round(length * np.exp(0.3 * (rng.permutation(n) + 0.5 - n / 2) / n * 3.4))
    frame = pd.DataFrame(
        {
            "conversation_id": [f"c{i}" for i in range(n)],
            "prompt": [f"question {i % 7}" for i in range(n)],
            "response": _responses(sizes, repeats, rng),
            "user_id": [f"u{i % 40}" for i in range(n)],
            "feedback": np.where(downs, "thumbs_down", "thumbs_up"),
            "timestamp": pd.Timestamp("2026-03-02") + pd.to_timedelta(np.arange(n), unit="min"),
            "content_warning": warnings,
        }
    )
    if index:
        frame.index = rng.integers(0, n // 2, n)  # with doubles, as after concat
    return frame


def _responses(sizes, repeats, rng):
    words = rng.permutation(_WORDS).tolist()
    starts = rng.integers(0, len(words), len(sizes)).tolist()
    around = words + words  # of any start, as many words follow as there are
    return [_text(s, r, around[i : i + 200]) for s, r, i in zip(sizes, repeats, starts, strict=True)]


def _case(rng, label, window, baseline=None, n=400, m=700, index=False):
    """A window and a baseline; `window` says what differs."""
    baseline = baseline or {}
    before = _frame(rng, m, index=index, **baseline)
    return Case((_frame(rng, n, index=index, **(baseline | window)), before), label=label)


def _remembered(build):
    """Cases from a generator, built once for each seed: frames take longer to make than to look at."""
    built = lru_cache(maxsize=32)(lambda seed: build(np.random.default_rng(seed)))
    return lambda draw: built(draw.integer(0, 2**31))


def _text_frame(texts, warned=(), down=()):
    """A frame of given responses; warned and down are positions."""
    n = len(texts)
    frame = _frame(np.random.default_rng(0), n, length=5, repeated=0, warned=0, down=0)
    frame["response"] = texts
    frame["content_warning"] = [i in warned for i in range(n)]
    frame["feedback"] = ["thumbs_down" if i in down else "thumbs_up" for i in range(n)]
    return frame


def _measured(case):
    """The z of each measure, as the exercise defines it; for choosing cases and for their tests."""
    window, baseline = case.args
    return {name: _z(f(window), f(baseline)) for name, f in _MEASURES.items()}


@_remembered
def _length_cases(rng):
    even = _text_frame(_responses([40, 160] * 150, [False] * 300, rng))
    long_words = _text_frame([text.replace("o", "ooooooo") for text in even["response"]])
    wide, wider = (
        _text_frame(_responses(sizes * 150, [False] * 750, rng))
        for sizes in ([30, 50, 90, 150, 260], [45, 75, 125, 200, 330])
    )
    return [
        _case(rng, "longer responses", {"length": 125}),
        _case(rng, "shorter responses", {"length": 60}),
        Case((long_words, even), label="longer words, no more of them"),
        Case((wider, wide), label="somewhat longer, in 750 rows"),
        Case(
            (_text_frame([t.translate(str.maketrans("aeiou", "äëïöü")) for t in even["response"]]), even),
            label="letters of two bytes, no more of them",
        ),
        Case(
            (_text_frame([t + "\n" * 60 for t in even["response"]]), even),
            label="sixty empty lines after each response",
        ),
        Case(
            (even.assign(prompt=even["prompt"] + " and why" * 20), even),
            label="longer prompts, the same responses",
        ),
        _case(rng, "always long", {}, {"length": 700}, 100, 160),
        _case(rng, "few rows, slightly longer", {"length": 95}, None, 40, 900),
        _case(rng, "a small baseline, slightly longer", {"length": 95}, None, 900, 40),
    ]


@_remembered
def _repetition_cases(rng):
    words = rng.permutation(_WORDS).tolist()
    plain = " ".join(words[:6])
    shared = [" ".join(words[i : i + 6]) for i in range(300)]
    a, b, c, d, e = words[:5]
    # single words again, but never the same two in a row; the same two, but never three
    singles, pairs = f"{a} {b} {a} {c} {a} {d}", f"{a} {b} {c} {a} {b} {d} {a} {b} {e}"
    apart = " ".join(words[10:19])
    # one word has no bigram, so its repetition is 0: neither nan nor left out
    one, again = [words[20]], " ".join([a, b, c, a, b, d])
    # a b comes twice, but never at two even places; the same share in a short and in a long text
    odd, distinct = " ".join([a, b, c, a, b]), " ".join(words[:5])
    short, long = (
        f"{a} {b} {a} {b}",
        " ".join([a, b, a, b, a, b, c, d, e, words[5], words[6], words[7], words[8]]),
    )
    lines = f"{a}\n{b} {c}\n{d} {a}\n{b} {e}\n{words[5]}"
    return [
        _case(rng, "more repetition", {"repeated": 0.45}),
        _case(rng, "less repetition", {"repeated": 0.0}),
        _case(rng, "few rows, slightly more", {"repeated": 0.15}, None, 40, 900),
        _case(rng, "a small baseline, slightly more", {"repeated": 0.15}, None, 900, 40),
        Case((_text_frame([plain] * 300), _text_frame(shared)), label="the same response to every prompt"),
        Case(
            (_text_frame([plain] * 20 + [singles] * 280), _text_frame(shared)),
            label="words again, but no two words",
        ),
        Case((_text_frame([pairs] * 300), _text_frame([apart] * 300)), label="two words again, but no three"),
        Case(
            (_text_frame([again] * 200 + one * 100), _text_frame([distinct] * 200 + one * 100)),
            label="more repetition among responses of one word",
        ),
        Case(
            (_text_frame([distinct] * 100 + one * 200), _text_frame([distinct] * 200 + one * 100)),
            label="more responses of one word, and no repetition",
        ),
        Case(
            (_text_frame([again] * 300), _text_frame([again] * 150 + one * 150)),
            label="as many repetitions in the longer responses, but no more that are one word",
        ),
        Case(
            (_text_frame([odd] * 300), _text_frame([distinct] * 300)),
            label="two words again, at an odd place",
        ),
        Case(
            (_text_frame([long] * 300), _text_frame([short] * 300)),
            label="longer responses, of which the same share is repetition",
        ),
        Case(
            (_text_frame([lines] * 300), _text_frame([distinct] * 300)),
            label="two words again, over several lines",
        ),
        Case(
            (_text_frame([distinct] * 300), _text_frame([apart] * 300)),
            label="shorter responses, and no repetition",
        ),
    ]


@_remembered
def _safety_cases(rng):
    few = _text_frame(["it is so"] * 10)
    many = _text_frame(["it is so"] * 3000, warned=(int(rng.integers(3000)),))
    single, never = (
        _text_frame(["it is so"] * 600, warned=(int(rng.integers(600)),)),
        _text_frame(["it is so"] * 900),
    )
    return [
        _case(rng, "more content warnings", {"warned": 0.15}),
        _case(rng, "fewer content warnings", {"warned": 0.0}),
        _case(rng, "warnings from 1 % to 15 %, in 60 rows", {"warned": 0.15}, {"warned": 0.01}, 60, 600),
        Case((many, few), label="one content warning in 3000 rows, none in ten"),
        Case((single, never), label="one content warning in 600 rows, none in 900"),
        _case(rng, "always warned", {}, {"warned": 0.4}, 100, 160),
        _case(rng, "few rows, slightly more", {"warned": 0.1}, None, 40, 900),
        _case(rng, "a small baseline, slightly more", {"warned": 0.1}, None, 900, 40),
    ]


@_remembered
def _feedback_cases(rng):
    return [
        _case(rng, "more thumbs-down", {"down": 0.55}),
        _case(rng, "fewer thumbs-down", {"down": 0.12}),
        _case(rng, "always many", {}, {"down": 0.8}, 100, 160),
        _case(rng, "from 10 % to 19 %, in 900 rows", {"down": 0.19}, {"down": 0.1}, 900, 1200),
        _case(rng, "few rows, slightly more", {"down": 0.45}, None, 40, 900),
        _case(rng, "a small baseline, slightly more", {"down": 0.45}, None, 900, 40),
    ]


@_remembered
def _list_cases(rng):
    all_four = {"length": 130, "repeated": 0.5, "warned": 0.2, "down": 0.6}
    return [
        _case(rng, "nothing has changed", {}),
        _case(rng, "all four", all_four, index=True),
        _case(rng, "longer, more thumbs-down", {"length": 120, "down": 0.58}, index=True),
        _case(rng, "more repetition, more warnings", {"repeated": 0.4, "warned": 0.14}),
    ]


@_remembered
def _form_cases(rng):
    return [
        _case(rng, "nothing has changed", {}, None, 100, 200),
        _case(rng, "longer", {"length": 160}, None, 100, 200, index=True),
    ]


# --- detect-failures: answers ---------------------------------------------------------------------


def _share(ngrams):
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def _bigrams(text):
    words = text.split()
    return list(zip(words, words[1:], strict=False))


@lru_cache(maxsize=100_000)  # dozens of answers are held against the same frames
def _repeated(text):
    return _share(_bigrams(text))


_MEASURES = {
    "length_explosion": lambda f: f["response"].str.len().to_numpy(float),
    "repetition": lambda f: np.array([_repeated(t) for t in f["response"].tolist()]),
    "safety_spike": lambda f: f["content_warning"].to_numpy(float),
    "feedback_drop": lambda f: (f["feedback"] == "thumbs_down").to_numpy(float),
}


def _z(now, before, spread=None, error=None):
    s = max(before.std(ddof=1) if spread is None else spread(now, before), 0.001)
    n, m = len(now), len(before)
    error = s * math.sqrt(1 / n + 1 / m) if error is None else error(s, n, m)
    return (now.mean() - before.mean()) / error


def _rule(z=_z, fails=lambda z: z > 4, **measures):
    """A detector with its own z, condition or measures."""

    def answer(window, baseline):
        every = _MEASURES | measures
        return [name for name, f in every.items() if fails(z(f(window), f(baseline)))]

    return answer


def _listed(change):
    return lambda window, baseline: change(detect_failures(window, baseline))


def _fixed_limits(window, baseline):
    means = {name: f(window).mean() for name, f in _MEASURES.items()}
    limits = dict(zip(_NAMES, (500, 0.3, 0.1, 0.4), strict=True))
    return [name for name in _NAMES if means[name] > limits[name]]


def _no_floor(now, before):
    error = before.std(ddof=1) * math.sqrt(1 / len(now) + 1 / len(before))
    gap = now.mean() - before.mean()
    return gap / error if error else math.inf if gap > 0 else 0.0


def _silent_without_spread(now, before):
    error = before.std(ddof=1) * math.sqrt(1 / len(now) + 1 / len(before))
    return (now.mean() - before.mean()) / error if error else 0.0


def _corpus_repetition(frame):
    """All bigrams of the frame together."""
    return np.full(len(frame), _share([b for text in frame["response"] for b in _bigrams(text)]))


def _joined_repetition(frame):
    """How much of a frame's bigrams other rows have too, row by row."""
    count = Counter(b for text in frame["response"] for b in set(_bigrams(text)))
    return np.array([np.mean([count[b] > 1 for b in _bigrams(text)] or [0.0]) for text in frame["response"]])


def _repetition(measure):
    """A measure of repetition from each response's words."""
    return lambda frame: np.array([measure(text.split()) for text in frame["response"]], dtype=float)


def _nan_without_bigrams(words):
    return _share(list(zip(words, words[1:], strict=False))) if len(words) > 1 else math.nan


def _z_of_known(now, before):
    """z of what is not nan."""
    return _z(now[~np.isnan(now)], before[~np.isnan(before)])


def _same_responses(frame):
    return frame["response"].duplicated().to_numpy(float)


def _columns_added(window, baseline):
    for frame in (window, baseline):
        frame["length"] = frame["response"].str.len()
    return detect_failures(window, baseline)


def _with_pandas(window, baseline):
    def table(frame):
        words = frame["response"].str.split()
        pairs = words.map(lambda w: [f"{a} {b}" for a, b in zip(w[:-1], w[1:], strict=True)])
        return pd.DataFrame(
            {
                "length_explosion": frame["response"].map(len),
                "repetition": pairs.map(lambda p: 1 - len(set(p)) / len(p) if p else 0.0),
                "safety_spike": frame["content_warning"].astype(int),
                "feedback_drop": frame["feedback"].eq("thumbs_down").astype(int),
            }
        )

    now, before = table(window), table(baseline)
    error = before.std().clip(lower=0.001) * np.sqrt(1 / len(now) + 1 / len(before))
    z = (now.mean() - before.mean()) / error
    return z.index[z > 4].tolist()


def _with_loops(window, baseline):
    def rows(frame):
        for text, vote, warned in zip(
            frame["response"], frame["feedback"], frame["content_warning"], strict=True
        ):
            words, seen, doubles = text.split(), set(), 0
            for pair in zip(words, words[1:], strict=False):
                doubles += pair in seen
                seen.add(pair)
            yield len(text), doubles / max(len(words) - 1, 1), int(warned), int(vote == "thumbs_down")

    failures = []
    for name, now, before in zip(
        _NAMES, zip(*rows(window), strict=True), zip(*rows(baseline), strict=True), strict=True
    ):
        s = max(statistics.pstdev(before), 1e-3)
        error = (s * s / len(now) + s * s / len(before)) ** 0.5
        if statistics.fmean(now) - statistics.fmean(before) > 4 * error:
            failures += [name]
    return failures


def _with_torch(window, baseline):
    def measures(frame):
        columns = [f(frame) for f in _MEASURES.values()]
        return torch.tensor(np.stack(columns), dtype=torch.float64)

    now, before = measures(window), measures(baseline)
    s = before.std(dim=1).clamp(min=0.001)
    z = (now.mean(1) - before.mean(1)) / (s * (1 / now.shape[1] + 1 / before.shape[1]) ** 0.5)
    return tuple(name for name, value in zip(_NAMES, z.tolist(), strict=True) if value > 4)


def _with_concat(window, baseline):
    both = pd.concat([window.assign(now=True), baseline.assign(now=False)], ignore_index=True)
    both = both.assign(**{name: f(both) for name, f in _MEASURES.items()})
    table = both.groupby("now")[list(_NAMES)].agg(["mean", "std", "size"])
    found = []
    for name in _NAMES:
        (m0, s0, n0), (m1, _, n1) = table.loc[False, name], table.loc[True, name]
        if m1 > m0 + 4 * max(s0, 0.001) * math.sqrt(1 / n0 + 1 / n1):
            found.append(name)
    return found


DETECT_FAILURES = Exercise(
    id="detect-failures",
    function="detect_failures",
    reference=detect_failures,
    observe=_observe_failures,
    parts=(
        Part("length_explosion", 1, _length_cases, ("length_explosion",), independent=True),
        Part("repetition", 1.5, _repetition_cases, ("repetition",), independent=True),
        Part("safety_spike", 1, _safety_cases, ("safety_spike",), independent=True),
        Part("feedback_drop", 1, _feedback_cases, ("feedback_drop",), independent=True),
        Part("all that hold and no others, in order", 1, _list_cases, ("list",), independent=True),
        Part("frames unchanged", 0.5, _form_cases, ("inputs",)),
    ),
    misconceptions=(
        Misconception(
            "repeated-trigrams",
            _rule(
                repetition=lambda f: np.array(
                    [_share(list(zip(w, w[1:], w[2:], strict=False))) for w in f["response"].str.split()]
                )
            ),
            "repetition is counted on three words in a row; two are wanted",
        ),
        Misconception(
            "spread-of-the-window",
            _rule(lambda now, before: _z(now, before, spread=lambda now, before: now.std(ddof=1))),
            "s is the window's standard deviation; a failure makes that large itself. The baseline's is wanted",
        ),
        Misconception(
            "no-floor",
            _rule(_no_floor),
            "where the baseline has no spread, one odd row is a failure: s is at least 0.001",
        ),
        Misconception(
            "silent-without-spread",
            _rule(_silent_without_spread),
            "where the baseline has no spread there is never a failure, however large the rise: s is at least 0.001",
        ),
        Misconception(
            "repeated-words",
            _rule(repetition=lambda f: np.array([_share(t.split()) for t in f["response"]])),
            "repetition is counted on single words; any text has some of them twice. Pairs of neighbours are wanted",
        ),
        Misconception(
            "words",
            _rule(length_explosion=lambda f: f["response"].str.split().str.len().to_numpy(float)),
            "the length is counted in words; characters are wanted",
        ),
        Misconception(
            "bytes",
            _rule(length_explosion=lambda f: np.array([len(t.encode()) for t in f["response"]], dtype=float)),
            "the length is counted in bytes, of which some letters have two; characters are wanted",
        ),
        Misconception(
            "stripped",
            _rule(length_explosion=lambda f: f["response"].str.strip().str.len().to_numpy(float)),
            "white space is not counted; empty lines without end are an explosion too. All characters are wanted",
        ),
        Misconception(
            "prompt-and-response",
            _rule(length_explosion=lambda f: (f["prompt"] + f["response"]).str.len().to_numpy(float)),
            "the prompt's characters are counted too; the response's are wanted",
        ),
        Misconception(
            "bigrams-over-words",
            _rule(
                repetition=_repetition(
                    lambda w: 1 - len(set(zip(w, w[1:], strict=False))) / len(w) if len(w) > 1 else 0
                )
            ),
            "distinct bigrams were divided by the number of words, of which there is one more: any short response then seems to repeat itself",
        ),
        Misconception(
            "floor-of-the-error",
            _rule(
                lambda now, before: (
                    (now.mean() - before.mean())
                    / max(before.std(ddof=1) * math.sqrt(1 / len(now) + 1 / len(before)), 0.001)
                )
            ),
            "the floor is too large, or stands in the wrong place, such as under the variance or the whole error: it is s, the standard deviation, that is at least 0.001",
        ),
        Misconception(
            "medians",
            _rule(
                lambda now, before: (
                    _z(now, before)
                    + (np.median(now) - now.mean() - np.median(before) + before.mean())
                    / (max(before.std(ddof=1), 0.001) * math.sqrt(1 / len(now) + 1 / len(before)))
                )
            ),
            "medians are compared; of something that is 0 or 1 in a row they say next to nothing. Means are wanted",
        ),
        Misconception(
            "names-with-spaces",
            _listed(lambda found: [name.replace("_", " ") for name in found]),
            "the names are written with an underscore",
        ),
        Misconception(
            "one-word-nan",
            _rule(repetition=_repetition(_nan_without_bigrams)),
            "a response of one word has no bigrams, and 0 / 0 gives nan; one nan makes the mean nan and silences the alarm. It repeats nothing: 0",
        ),
        Misconception(
            "one-word-all-repeated",
            _rule(
                repetition=_repetition(
                    lambda w: 1 - len(set(zip(w, w[1:], strict=False))) / max(len(w) - 1, 1)
                )
            ),
            "a response of one word, which has no bigrams, counts as nothing but repetition: 1 - 0/1. It repeats nothing: 0",
        ),
        Misconception(
            "one-word-left-out",
            _rule(_z_of_known, repetition=_repetition(_nan_without_bigrams)),
            "responses of one word were left out of the mean; they repeat nothing and count with 0",
        ),
        Misconception(
            "pairs-side-by-side",
            _rule(repetition=_repetition(lambda w: _share(list(zip(w[::2], w[1::2], strict=False))))),
            "the text was cut into pairs side by side; a bigram begins at each word",
        ),
        Misconception(
            "count-of-repetitions",
            _rule(
                repetition=_repetition(lambda w: len(w) - 1 - len(set(zip(w, w[1:], strict=False)))),
            ),
            "repeated bigrams were counted; their share of all bigrams is wanted, else any longer text repeats itself more",
        ),
        Misconception(
            "split-at-spaces",
            _rule(
                repetition=lambda f: np.array(
                    [_share(list(zip(w, w[1:], strict=False))) for w in (t.split(" ") for t in f["response"])]
                )
            ),
            "words were split at single spaces; a line's end parts words too: `split()` without an argument",
        ),
        Misconception(
            "a-set",
            _listed(set),
            "a set came back, which has no order; a list is wanted",
        ),
        Misconception(
            "another-order",
            _listed(sorted),
            "the names are not in the order of the list",
        ),
        Misconception(
            "columns-added", _columns_added, "a column was added to the frame that was given; work on a copy"
        ),
        Misconception(
            "repeated-characters",
            _rule(
                repetition=lambda f: np.array(
                    [_share(list(zip(t, t[1:], strict=False))) for t in f["response"]]
                )
            ),
            "repetition is counted on pairs of characters; pairs of words are wanted",
        ),
        Misconception(
            "either-side",
            _rule(fails=lambda z: abs(z) > 4),
            "a change for the better is reported as a failure too",
        ),
        Misconception(
            "first-only",
            _listed(lambda found: found[:1]),
            "only the first failure comes back; all that hold are wanted",
        ),
        Misconception(
            "baselines-error-only",
            _rule(lambda now, before: _z(now, before, error=lambda s, n, m: s / math.sqrt(m))),
            "the window's mean is taken for certain: its own sampling error, s²/n_w, is missing",
        ),
        Misconception(
            "windows-error-only",
            _rule(lambda now, before: _z(now, before, error=lambda s, n, m: s / math.sqrt(n))),
            "the baseline's mean is taken for certain: its own sampling error, s²/n_b, is missing",
        ),
        Misconception(
            "distinct-share",
            _rule(repetition=lambda f: np.array([1 - _share(_bigrams(t)) for t in f["response"]])),
            "this is the share of distinct bigrams: it falls when a text repeats itself",
        ),
        Misconception(
            "thumbs-up",
            _rule(feedback_drop=lambda f: (f["feedback"] == "thumbs_up").to_numpy(float)),
            "more thumbs-up is reported as a drop; the share of thumbs-down is the measure",
        ),
        Misconception(
            "length-of-prompts",
            _rule(length_explosion=lambda f: f["prompt"].str.len().to_numpy(float)),
            "the length is that of the prompt; the response's is wanted",
        ),
        Misconception(
            "shared-with-others",
            _rule(repetition=_joined_repetition),
            "what several responses have in common counts as repetition; it is within a response",
        ),
        Misconception(
            "over-all-responses",
            _rule(repetition=_corpus_repetition),
            "bigrams are counted over all responses together; repetition is within a response",
        ),
        Misconception(
            "same-responses",
            _rule(repetition=_same_responses),
            "equal responses count as repetition; it is within a response",
        ),
        Misconception(
            "twice-the-mean",
            lambda window, baseline: [
                name for name, f in _MEASURES.items() if f(window).mean() > 2 * f(baseline).mean()
            ],
            "a failure is where the mean has doubled; hold the rise against the standard error",
        ),
        Misconception(
            "too-eager",
            _rule(fails=lambda z: z > 1),
            "too small a rise is a failure here; it must be over 4 standard errors, s√(1/n_w + 1/n_b)",
        ),
        Misconception(
            "half-as-much-again",
            lambda window, baseline: [
                name for name, f in _MEASURES.items() if f(window).mean() > 1.5 * f(baseline).mean()
            ],
            "a failure is where the mean has grown by half; hold the rise against the standard error",
        ),
        Misconception(
            "variance",
            _rule(lambda now, before: _z(now, before, spread=lambda now, before: before.var(ddof=1))),
            "s is the variance here; its root is wanted",
        ),
        Misconception(
            "totals",
            lambda window, baseline: [
                name for name, f in _MEASURES.items() if f(window).sum() > f(baseline).sum() * 1.2
            ],
            "sums are compared; the frames differ in their number of rows, so compare means",
        ),
        Misconception(
            "large-floor",
            _rule(
                lambda now, before: _z(now, before, spread=lambda now, before: max(before.std(ddof=1), 1.0))
            ),
            "the floor of s is far too large for a share: 0.001 is wanted",
        ),
        Misconception(
            "standard-deviations",
            _rule(lambda now, before: _z(now, before, error=lambda s, n, m: s)),
            "the rise is held against the spread of single rows; that of means is smaller by a root of the number of rows",
        ),
        Misconception(
            "fixed-limits",
            _fixed_limits,
            "fixed limits decide; what is much for one service is usual for another. Hold the window against the baseline",
        ),
        Misconception(
            "any-rise",
            _rule(fails=lambda z: z > 0),
            "any rise of a mean is a failure here; chance alone gives one every other week",
        ),
        Misconception(
            "for-the-better",
            _rule(fails=lambda z: z < -4),
            "what became better is reported; window and baseline are exchanged",
        ),
        Misconception(
            "dict",
            _listed(lambda found: {name: name in found for name in _NAMES}),
            "a dict came back; a list of the names that hold is wanted",
        ),
        Misconception("bool", _listed(bool), "a bool came back; a list of names is wanted"),
    ),
    alternatives={
        "pandas": _with_pandas,
        "loops, population spread": _with_loops,
        "torch, a tuple": _with_torch,
        "one frame, grouped": _with_concat,
    },
    hints=(
        "Turn each frame into four columns of numbers, one value a row; then one rule serves all four.",
        'Shares are means of 0 and 1: (frame.feedback == "thumbs_down") is such a column.',
        "z = (mean_w − mean_b) / (max(s_b, 0.001) · √(1/n_w + 1/n_b)); a failure where z > 4, not where |z| > 4.",
    ),
)


# --- latency-percentile ---------------------------------------------------------------------------


def _latencies(draw, n):
    return torch.exp(draw.normal(n, scale=0.7)).mul(0.4).tolist()


def _latency_cases(draw):
    many = _latencies(draw, draw.integer(180, 260))
    return [
        Case((list(range(1, 101)),), label="1 to 100"),
        Case(([3, 1, 2],), label="three numbers"),
        Case((many,), label=f"{len(many)} numbers"),
        Case((_latencies(draw, 19),), label="19 numbers"),
        Case((_latencies(draw, 21),), label="21 numbers"),
        Case((sorted(_latencies(draw, 40), reverse=True),), label="40 numbers, the largest first"),
        Case(([0.2, 0.2, 0.2, 9.0],), label="three alike and a large one"),
        Case(([0.5, 0.1],), label="two numbers"),
        Case(([1500, 20, 310, 44, 5, 670, 88, 91, 1000, 12, 13],), label="eleven ints"),
    ]


def _latency_forms(draw):
    values = _latencies(draw, 23)
    return [
        Case((tuple(values),), label="a tuple"),
        Case((np.array(values),), label="an array"),
        Case((torch.tensor(values, dtype=torch.float64),), label="a tensor"),
        Case((list(values),), label="a list"),
    ]


def _percentile(q, **options):
    return lambda latencies: float(np.percentile(np.asarray(latencies), q, **options))


def _at(place):
    """The value at a place of the sorted list."""
    return lambda latencies: float(sorted(float(x) for x in latencies)[place(len(latencies))])


def _unsorted(latencies):
    values = [float(x) for x in latencies]
    place = 0.95 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def _normal(latencies):
    values = [float(x) for x in latencies]
    return statistics.fmean(values) + 1.644854 * statistics.stdev(values)


def _sorting(latencies):
    result = p95(latencies)
    if isinstance(latencies, (list, np.ndarray)):
        latencies.sort()
    return result


def _by_hand(latencies):
    values = sorted(float(x) for x in latencies)
    place = (len(values) - 1) * 95 / 100
    low, part = int(place), place - int(place)
    return values[low] if part == 0 else (1 - part) * values[low] + part * values[low + 1]


def _by_statistics(latencies):
    return statistics.quantiles([float(x) for x in latencies], n=20, method="inclusive")[-1]


def _by_pandas(latencies):
    return pd.Series(np.array(latencies)).quantile(0.95)


def _by_torch(latencies):
    return torch.quantile(torch.as_tensor(latencies, dtype=torch.float64), 0.95).item()


LATENCY_PERCENTILE = Exercise(
    id="latency-percentile",
    function="p95",
    reference=p95,
    observe=observe_call,
    parts=(
        Part("the percentile", 1.5, _latency_cases),
        Part("tuples, arrays and tensors too, unchanged", 0.5, _latency_forms, ("result", "inputs")),
    ),
    misconceptions=(
        Misconception("sorting-in-place", _sorting, "the list that was given is sorted now; work on a copy"),
        Misconception(
            "midpoint",
            _percentile(95, method="midpoint"),
            "the middle of both neighbours is taken; interpolate",
        ),
        Misconception("unsorted", _unsorted, "the values were not sorted first"),
        Misconception(
            "nearest-rank",
            _at(lambda n: math.ceil(0.95 * n) - 1),
            "this is one of the values (the nearest rank); linear interpolation between two is wanted",
        ),
        Misconception(
            "index-of-95-percent",
            _at(lambda n: min(int(0.95 * n), n - 1)),
            "this is the value at position 0.95 n; interpolate at 0.95 (n − 1), counted from 0",
        ),
        Misconception(
            "lower", _percentile(95, method="lower"), "the smaller neighbour is taken; interpolate"
        ),
        Misconception(
            "nearest", _percentile(95, method="nearest"), "the nearer neighbour is taken; interpolate"
        ),
        Misconception("rounded", lambda latencies: round(p95(latencies)), "the result was rounded"),
        Misconception(
            "weibull",
            _percentile(95, method="weibull"),
            "the position is 0.95 (n + 1), as statistics.quantiles has it by default; numpy's default is another",
        ),
        Misconception(
            "hazen",
            _percentile(95, method="hazen"),
            "the position is that of another definition of quantiles; numpy's default is wanted",
        ),
        Misconception(
            "median-unbiased",
            _percentile(95, method="median_unbiased"),
            "this is the median-unbiased definition of quantiles; numpy's default is wanted",
        ),
        Misconception(
            "normal-unbiased",
            _percentile(95, method="normal_unbiased"),
            "the position is that of the unbiased definition for normal numbers; numpy's default is wanted",
        ),
        Misconception(
            "averaged-cdf",
            _percentile(95, method="averaged_inverted_cdf"),
            "this is a value, or the middle of two where 0.95 n is a whole number; interpolate at 0.95 (n − 1), counted from 0",
        ),
        Misconception(
            "interpolated-cdf",
            _percentile(95, method="interpolated_inverted_cdf"),
            "the position is 0.95 n, counted from 1; numpy's default is another",
        ),
        Misconception(
            "0.95-percent",
            _percentile(0.95),
            "this is the 0.95th percentile, near the smallest; the 95th is wanted",
        ),
        Misconception("5th", _percentile(5), "this is the 5th percentile, the fast end; the 95th is wanted"),
        Misconception("90th", _percentile(90), "this is the 90th percentile"),
        Misconception("99th", _percentile(99), "this is the 99th percentile"),
        Misconception("median", _percentile(50), "this is the median"),
        Misconception("largest", _at(lambda n: n - 1), "this is the largest value"),
        Misconception("mean", lambda latencies: float(np.mean(np.asarray(latencies))), "this is the mean"),
        Misconception(
            "normal",
            _normal,
            "this is mean plus 1.645 standard deviations, the percentile of a normal variable; latencies have a long tail",
        ),
    ),
    alternatives={
        "by hand": _by_hand,
        "statistics": _by_statistics,
        "pandas": _by_pandas,
        "torch": _by_torch,
    },
    hints=(
        "Sort a copy; the 95th percentile stands at position 0.95 (n − 1), counted from 0.",
        "That position is seldom a whole number: take the value below, and as much of the step to the next one as the fraction says.",
        "numpy, torch and pandas have it; mind what each takes for q, 95 or 0.95.",
    ),
)
