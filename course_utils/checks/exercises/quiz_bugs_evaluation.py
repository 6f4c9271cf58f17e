"""06-final-quiz: bugs 22 to 24, in judges, verifiers and the choice of a checkpoint."""

import copy
import re
from fractions import Fraction
from functools import lru_cache

import numpy as np

from course_utils.checks.beside import each
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug, guarded, number
from course_utils.checks.observe import quietly
from course_utils.words import type_of

# --- bug-22: both orders, and no one turned the verdict ---------------------------------------------


def judged_rate(judge, prompts, ours, theirs):
    """Our win rate by a judge that sees every pair in both orders; a float.

    judge(prompt, first, second) gives "first", "second" or "tie". Each of the 2 n verdicts counts 1 if it is for
    our response, 1/2 if it is a tie, 0 otherwise; the rate is their mean.
    """
    points = {"first": 1.0, "tie": 0.5, "second": 0.0}
    total = 0.0
    for prompt, a, b in zip(prompts, ours, theirs, strict=True):
        total += points[judge(prompt, a, b)]
        total += 1.0 - points[judge(prompt, b, a)]  # ours is the second one here
    return total / (2 * len(prompts))


_POINTS = {"first": 1.0, "tie": 0.5, "second": 0.0}


def _judged(rate_of, worth=_POINTS):
    """A variant: rate_of(points of the first order, of the turned one, both for the response shown first)."""

    def answer(judge, prompts, ours, theirs):
        rows = list(zip(prompts, ours, theirs, strict=True))
        there = np.array([worth[judge(p, a, b)] for p, a, b in rows])
        back = np.array([worth[judge(p, b, a)] for p, a, b in rows])
        return float(rate_of(there, back))

    return answer


def _judged_consistent(there, back):
    same = there == 1 - back
    return there[same].mean() if same.any() else 0.5


def _judged_strict(there, back):
    """A pair on which the orders disagree is a tie."""
    return np.where(there == 1 - back, there, 0.5).mean()


def _judged_both_needed(there, back):
    return ((there == 1) & (back == 0)).mean()


def _judged_alternating(judge, prompts, ours, theirs):
    """Each pair once, every other one turned."""
    found = []
    for i, (p, a, b) in enumerate(zip(prompts, ours, theirs, strict=True)):
        found.append(_POINTS[judge(p, a, b)] if i % 2 == 0 else 1 - _POINTS[judge(p, b, a)])
    return sum(found) / len(found)


def _judged_ties_lost(judge, prompts, ours, theirs):
    wins = 0
    for p, a, b in zip(prompts, ours, theirs, strict=True):
        wins += (judge(p, a, b) == "first") + (judge(p, b, a) == "second")
    return wins / (2 * len(prompts))


def _judged_ties_dropped(judge, prompts, ours, theirs):
    wins = losses = 0
    for p, a, b in zip(prompts, ours, theirs, strict=True):
        for verdict, us in ((judge(p, a, b), "first"), (judge(p, b, a), "second")):
            wins, losses = wins + (verdict == us), losses + (verdict not in (us, "tie"))
    return wins / (wins + losses) if wins + losses else 0.5


def _judged_second_words(judge, prompts, ours, theirs):
    total = 0.0
    for p, a, b in zip(prompts, ours, theirs, strict=True):
        total += {"first": 1, "tie": 0.5, "second": 0}[judge(p, a, b)]
        total += {"second": 1, "tie": 0.5, "first": 0}[judge(p, b, a)]
    return total / len(prompts) / 2


def _judged_winners(judge, prompts, ours, theirs):
    """Compares who won, not where."""
    found = []
    for prompt, a, b in zip(prompts, ours, theirs, strict=True):
        for pair in ((0, 1), (1, 0)):
            texts = (a, b)
            verdict = judge(prompt, texts[pair[0]], texts[pair[1]])
            found.append(
                Fraction(1, 2) if verdict == "tie" else Fraction(int(pair[verdict == "second"] == 0))
            )
    return float(sum(found) / len(found))


@guarded
def _observe_judged(function, case):
    """The rate, and what the judge was asked; its verdicts follow from hidden qualities and a bias."""
    quality, bias = case.args
    asked = []

    def judge(prompt, first, second):
        asked.append((prompt, first, second))
        i = int(prompt.split()[1])
        worth = {f"ours {i}": quality[i][0], f"theirs {i}": quality[i][1]}
        gap = worth[first] - worth[second] + bias
        return "tie" if abs(gap) < 0.5 else "first" if gap > 0 else "second"

    n = len(quality)
    args = tuple([f"{word} {i}" for i in range(n)] for word in ("prompt", "ours", "theirs"))
    mine = copy.deepcopy(args)
    rate = number(quietly(function, judge, *mine))
    wanted = {(p, *pair) for p, a, b in zip(*args, strict=True) for pair in ((a, b), (b, a))}
    return {
        "rate": rate,
        "asked": "each pair once in each order"
        if len(asked) == 2 * n and set(asked) == wanted
        else f"{len(asked)} questions about {n} pairs, {len(set(asked) & wanted)} different ones",
        "inputs": "unchanged" if mine == args else "a list was changed by your function; work on a copy",
    }


def _judged_cases(draw):
    def case(n, lift, bias, label):
        ours, theirs = (draw.normal(n, scale=1.5) + lift).tolist(), draw.normal(n, scale=1.5).tolist()
        return Case((list(zip(ours, theirs, strict=True)), bias), label=label)

    return [
        case(41, 1.0, 0.0, "41 pairs, a judge without a bias"),
        case(60, -0.8, 1.2, "60 pairs, a judge that likes the first place"),
        case(53, 0.3, -1.5, "53 pairs, a judge that likes the second place"),
        Case(([(2.0, 0.0)], 0.0), label="one pair, ours clearly better"),
    ]


BUG_22 = find_the_bug(
    22,
    "judged_rate",
    judged_rate,
    (
        Part("the rate, from each pair once in each order", 1.5, _judged_cases, ("rate", "asked")),
        Part("inputs unchanged", 0.5, _judged_cases, ("inputs",)),
    ),
    (
        ("one-order", _judged(lambda there, back: there.mean()), "only the order with ours in front counts: the judge's liking for a place is in the rate"),
        ("other-order", _judged(lambda there, back: 1 - back.mean()), "only the order with ours behind counts: the judge's liking for a place is in the rate"),
        ("consistent-only", _judged(_judged_consistent), "pairs on which the two orders disagree are left out; they count"),
        ("disagreement-is-a-tie", _judged(_judged_strict), "a pair on which the orders disagree is made a tie; a win and a tie are three quarters"),
        ("both-needed", _judged(_judged_both_needed), "only a win in both orders counts now"),
        ("alternating", _judged_alternating, "each pair is asked once only; both orders are wanted"),
        ("ties-lost", _judged_ties_lost, "ties count nothing now; they count half"),
        ("ties-dropped", _judged_ties_dropped, "ties are left out of the rate; they count half"),
        ("theirs", _judged(lambda there, back: ((1 - there) + back).mean() / 2), "this is the other model's rate"),
        ("doubled", _judged(lambda there, back: (there + 1 - back).mean()), "the sum is divided by n, not by 2 n"),
        ("as-shown", _judged(lambda there, back: (there + back).mean() / 2), "the place that won is counted in both orders, not the response: a judge that always prefers ours gives 1/2"),
    ),
    {"a second table": _judged_second_words, "arrays": _judged(lambda there, back: (there.mean() + 1 - back.mean()) / 2), "who won": _judged_winners},
    (
        "Let the judge always prefer our response. What rate should come out?",
        'Where does our response stand in the second call, and what does "first" mean there?',
        'In the turned order "second" is a win for ours.',
    ),
    _observe_judged,
)  # fmt: skip


# --- bug-23: a verifier that can be flooded ---------------------------------------------------------


def is_correct(text, answer):
    """Whether the final answer in `text` is the number `answer`: True or False.

    The final answer is what stands after the *last* "Answer:", up to the end of the text. It must be one number,
    with nothing beside it but blanks and perhaps a full stop: digits, commas, perhaps a minus and a decimal point,
    and no blanks within. Numbers are compared as numbers: commas between thousands and zeros behind the point do
    not matter. Without "Answer:" nothing is correct.
    """
    before, mark, final = text.rpartition("Answer:")
    final = final.strip().removesuffix(".").replace(",", "")
    return bool(mark) and re.fullmatch(r"-?\d+(\.\d+)?", final) is not None and float(final) == answer


_NUMBER = re.compile(r"Answer:\s*(-?\d[\d,]*(?:\.\d+)?)")


def _values(text):
    return [float(x.replace(",", "")) for x in _NUMBER.findall(text)]


def _correct_any(text, answer):
    return any(x == answer for x in _values(text))


def _correct_first(text, answer):
    return _values(text)[:1] == [answer]


def _correct_last_number_found(text, answer):
    """The last number that follows an "Answer:"; what else stands there is not looked at."""
    return _values(text)[-1:] == [answer]


def _correct_anywhere(text, answer):
    return any(float(x.replace(",", "")) == answer for x in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text))


def _correct_only_one(text, answer):
    """Flooding is refused by refusing every text with two answers."""
    return text.count("Answer:") == 1 and is_correct(text, answer)


def _correct_contained(text, answer):
    return "Answer:" in text and f"{answer:g}" in text.rpartition("Answer:")[2]


def _correct_as_text(text, answer):
    return text.rpartition("Answer:")[1:] != ("", text) and text.rpartition("Answer:")[2].strip().removesuffix(".") == f"{answer:g}"  # fmt: skip


def _correct_with_commas_lost(text, answer):
    final = text.rpartition("Answer:")[2].strip().removesuffix(".")
    try:
        return "Answer:" in text and float(final) == answer
    except ValueError:
        return False


def _correct_raising(text, answer):
    if "Answer:" not in text:
        return False
    return float(text.rpartition("Answer:")[2].strip().removesuffix(".").replace(",", "")) == answer


def _correct_without_mark(text, answer):
    """Where there is no "Answer:" the whole text is taken for one."""
    return is_correct(text if "Answer:" in text else "Answer:" + text, answer)


def _correct_prefix(text, answer):
    """The number after the last mark; what follows it is not looked at."""
    return "Answer:" in text and _correct_first("Answer:" + text.rpartition("Answer:")[2], answer)


def _correct_blanks_lost(text, answer):
    """All blanks are taken out, also those between two numbers."""
    before, mark, final = text.rpartition("Answer:")
    return is_correct(mark + "".join(final.split()), answer)


def _correct_suffix(text, answer):
    """A number has to stand at the end of what follows the last mark; what precedes it is not looked at."""
    match = re.search(r"(-?\d[\d,]*(?:\.\d+)?)\s*\.?\s*\Z", text.rpartition("Answer:")[2])
    return "Answer:" in text and match is not None and float(match[1].replace(",", "")) == answer


def _correct_signs_lost(text, answer):
    """A sign for money and the like is taken off first."""
    before, mark, final = text.rpartition("Answer:")
    return is_correct(mark + final.strip().lstrip("$€£"), answer)


def _correct_all(text, answer):
    """Every answer given must be right."""
    return bool(_values(text)) and all(x == answer for x in _values(text)) and is_correct(text, answer)


def _correct_rounded(text, answer):
    match = re.search(r"Answer:\s*(-?[\d,]+(?:\.\d+)?)\s*\.?\s*$", text.rpartition("\n")[2])
    return match is not None and round(float(match[1].replace(",", ""))) == round(answer)


def _correct_near(text, answer, room=0.5):
    match = re.fullmatch(r"\s*(-?[\d,]+(?:\.\d+)?)\s*\.?\s*", text.rpartition("Answer:")[2])
    return "Answer:" in text and match is not None and abs(float(match[1].replace(",", "")) - answer) < room


def _correct_nearly(text, answer):
    return _correct_near(text, answer, 0.01)


def _correct_whole(text, answer):
    """What stands behind the point is cut off, on both sides."""
    match = re.fullmatch(r"\s*(-?[\d,]+)(?:\.\d+)?\s*\.?\s*", text.rpartition("Answer:")[2])
    return "Answer:" in text and match is not None and int(match[1].replace(",", "")) == int(answer)


def _correct_first_line(text, answer):
    """What stands on the lines below the number is not looked at."""
    before, mark, final = text.rpartition("Answer:")
    return is_correct(mark + (final.strip().splitlines() or [""])[0], answer)


def _correct_by(pattern):
    """A variant: what the final answer has to match, up to blanks."""

    def answer(text, answer):
        before, mark, final = text.rpartition("Answer:")
        return re.fullmatch(pattern, final.strip()) is not None and is_correct(mark + final, answer)

    return answer


def _correct_no_sign(text, answer):
    return is_correct(text.replace("-", ""), abs(answer))


def _correct_regex(text, answer):
    match = re.search(r"Answer:(?!.*Answer:)\s*(-?[\d,]+(?:\.\d+)?)\s*\.?\s*\Z", text, flags=re.DOTALL)
    return match is not None and float(match.group(1).replace(",", "")) == float(answer)


def _correct_split(text, answer):
    pieces = text.split("Answer:")
    if len(pieces) < 2:
        return False
    last = pieces[-1].strip()
    last = (last[:-1] if last.endswith(".") else last).strip().replace(",", "")
    try:
        return abs(Fraction(last) - Fraction(str(answer))) == 0
    except ValueError:
        return False


def _correct_decimal(text, answer):
    from decimal import Decimal, InvalidOperation

    at = text.rfind("Answer:")
    try:
        return at >= 0 and Decimal(re.sub(r",|\.\Z", "", text[at + 7 :].strip())) == Decimal(str(answer))
    except InvalidOperation:
        return False


@guarded
def _observe_correct(function, case):
    """A plain bool, or what came back instead."""
    result = quietly(function, *case.args)
    if isinstance(result, (bool, np.bool_)):
        return {"result": bool(result)}
    return {"result": Missing(f"{type_of(result)} came back, True or False is wanted")}


def _correct_cases(draw):
    a = draw.integer(13, 88)
    b = a + draw.integer(1, 9)
    flood = " ".join(f"Answer: {k}" for k in range(a - 5, a + 5))
    cases = [
        (f"It is {b} less one.\nAnswer: {a}", a, "a single answer, right"),
        (f"It is {a} and one.\nAnswer: {b}", a, "a single answer, wrong; the right number stands elsewhere"),
        (flood, a, "ten answers, the right one in the middle"),
        (f"Answer: {a}\nNo, I forgot one.\nAnswer: {b}", a, "first the right answer, then a wrong one"),
        (f"Answer: {b}\nNo, that is too many.\nAnswer: {a}", a, "first a wrong answer, then the right one"),
        (f"Answer: {a}\nOr rather:\nAnswer: I do not know", a, "first the right answer, then none"),
        (f"Answer: {a}\nLet me check.\nAnswer: {a}", a, "the right answer twice"),
        (f"Answer: {a} or {b}", a, "two numbers after the mark, the right one first"),
        (f"Answer: {b} or {a}", a, "two numbers after the mark, the right one last"),
        (f"Answer: {a}{b}", a, "a longer number that begins with the right one"),
        (f"Answer: {a} apples", a, "a word behind the number"),
        (f"Answer: about {a}", a, "a word before the number"),
        (f"Answer: ${a}", a, "a dollar sign before the number"),
        (f"Answer: {a}\nor perhaps {b}", a, "more on the line below the number"),
        (
            f"Answer: {a // 10} {a % 10}",
            a,
            "two numbers with a blank between, which together are the right one",
        ),
    ]
    return [Case((text, answer), label=label) for text, answer, label in cases]


def _number_cases(draw):
    a = draw.integer(1, 9) * 1000 + draw.integer(100, 999)
    cases = [
        (f"Answer: {a:,}", a, "a comma between thousands"),
        (f"Answer: {a}.0", a, "a zero behind the point"),
        (f"Answer:   {a}. \n", a, "blanks and a full stop"),
        (f"Answer: -{a}", -a, "a negative number"),
        (f"Answer: {a}", -a, "the sign is wrong"),
        (f"Answer: {a}.5", a + 0.5, "half a unit"),
        (f"Answer: {a}.4", a, "four tenths too many"),
        ("Answer: 3.005", 3, "five thousandths too many"),
        (f"Answer: {a}.8", a, "eight tenths too many"),
        (f"The answer is {a}", a, "no mark"),
        (f"{a}", a, "nothing but the number"),
        ("", a, "an empty text"),
        (f"Answer:\n{a}\n", a, "the number on a line of its own"),
    ]
    return [Case((text, answer), label=label) for text, answer, label in cases]


BUG_23 = find_the_bug(
    23,
    "is_correct",
    is_correct,
    (
        Part("the final answer decides", 2, _correct_cases),
        Part("numbers as numbers, texts without an answer", 1, _number_cases),
    ),
    (
        ("first", _correct_first, "the first answer counts now; the last should"),
        ("last-number", _correct_last_number_found, "the last number behind an \"Answer:\" counts, though the last \"Answer:\" may have none, or more beside it"),
        ("only-one", _correct_only_one, "a text with two answers is refused; a model may correct itself, and the last one counts"),
        ("contained", _correct_contained, "it is enough that the number occurs in the final answer, among others or within a longer one"),
        ("prefix", _correct_prefix, "what stands behind the number is not looked at: \"12 or 13\" is not an answer"),
        ("suffix", _correct_suffix, "what stands before the number is not looked at: \"about 12\" is not an answer"),
        ("blanks-lost", _correct_blanks_lost, "blanks within are taken out: \"1 2\" is two numbers, and not 12"),
        ("signs-lost", _correct_signs_lost, "a sign of money is taken off; nothing but blanks and a full stop may stand beside the number"),
        ("all", _correct_all, "every answer must be right now; a model may correct itself, and the last one counts"),
        ("anywhere", _correct_anywhere, "the right number anywhere in the text is enough"),
        ("as-text", _correct_as_text, "numbers are compared as texts: 1,250 and 1250.0 are the same number"),
        ("commas", _correct_with_commas_lost, "a comma between thousands makes a right answer wrong"),
        ("raising", _correct_raising, "an answer that is no number raises; it is wrong"),
        ("no-mark", _correct_without_mark, "a text without \"Answer:\" can be correct"),
        ("first-line", _correct_first_line, "what stands below the number is not looked at; the answer goes up to the end of the text"),
        ("near", _correct_near, "a number that is merely near is taken for the answer"),
        ("nearly", _correct_nearly, "a number that is off in the third decimal is taken for the answer"),
        ("whole", _correct_whole, "what stands behind the decimal point is not looked at"),
        ("no-full-stop", _correct_by(r"-?[\d,]+(\.\d+)?"), "a full stop behind the number makes a right answer wrong"),
        ("no-minus", _correct_by(r"[\d,]+(\.\d+)?\.?"), "a minus makes a right answer wrong"),
        ("no-point", _correct_by(r"-?[\d,]+\.?"), "a decimal point makes a right answer wrong"),
        ("rounded", _correct_rounded, "numbers are rounded before they are compared, or only the last line is looked at"),
        ("no-sign", _correct_no_sign, "the sign is not looked at"),
        ("never", lambda text, answer: False, "nothing is ever correct"),
        ("as-shown", _correct_any, "any of the answers in the text may be the right one: who lists many numbers is always correct"),
    ),
    {"regex": _correct_regex, "split": _correct_split, "decimal": _correct_decimal},
    (
        'Call it with "Answer: 1 Answer: 2 Answer: 3" and each of the numbers.',
        "Which of several answers counts, and what may stand beside it?",
        'text.rpartition("Answer:") gives what stands behind the last one; it must be a number as a whole.',
    ),
    _observe_correct,
)  # fmt: skip


# --- bug-24: the winner's own score -----------------------------------------------------------------


def report_best(scores, seed):
    """(checkpoint, estimate): a good checkpoint, and an unbiased estimate of its mean score; an int and a float.

    scores: array (M, N), each checkpoint's score on each of N prompts, which are a random sample, in random order.
    Unbiased: over samples of prompts, the mean of (estimate - the checkpoint's true mean) is 0, although the
    checkpoint was chosen by the same sample. Chance is drawn from `seed`.
    """
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    half = len(order) // 2
    best = int(scores[:, order[:half]].mean(1).argmax())
    return best, float(scores[best, order[half:]].mean())


def _best_shown(scores, seed):
    means = scores.mean(axis=1)
    best = int(means.argmax())
    return best, float(means[best])


def _best_with(estimate):
    """The checkpoint with the best mean, and estimate(scores, best, rng)."""

    def answer(scores, seed):
        best = int(scores.mean(1).argmax())
        return best, float(estimate(scores, best, np.random.default_rng(seed)))

    return answer


def _half_of(scores, best, rng):
    """On a half of the prompts that have all been used for the choice."""
    return scores[best, rng.permutation(scores.shape[1])[: scores.shape[1] // 2]].mean()


def _resampled(scores, best, rng):
    """The mean over bootstrap samples: the same mean again."""
    n = scores.shape[1]
    return np.mean([scores[best, rng.integers(0, n, n)].mean() for _ in range(50)])


def _best_of_halves(scores, seed):
    """The choice on one half, the report on both together."""
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    best = int(scores[:, order[: len(order) // 2]].mean(1).argmax())
    return best, float(scores[best].mean())


def _best_on_few(scores, seed):
    """The choice on a tenth of the prompts, the report on all: the tenth is still in it."""
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    best = int(scores[:, order[: len(order) // 10]].mean(1).argmax())
    return best, float(scores[best].mean())


def _best_on_test(scores, seed):
    """A split, but the choice is made on the half that is reported."""
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    means = scores[:, order[len(order) // 2 :]].mean(1)
    return int(means.argmax()), float(means.max())


def _overlapping(scores, seed):
    """Two independent samples of prompts with replacement: they share some."""
    rng, n = np.random.default_rng(seed), scores.shape[1]
    best = int(scores[:, rng.integers(0, n, n)].mean(1).argmax())
    return best, float(scores[best, rng.integers(0, n, n)].mean())


def _best_drawn(scores, seed):
    best = int(np.random.default_rng(seed).integers(len(scores)))
    return best, float(scores[best].mean())


def _best_by_one_prompt(scores, seed):
    """One prompt is left for the report."""
    best = int(scores[:, 1:].mean(1).argmax())
    return best, float(scores[best, 0])


def _best_cross_validated(scores, seed):
    folds = np.array_split(np.random.default_rng(seed).permutation(scores.shape[1]), 5)
    found = []
    for fold in folds:
        rest = np.setdiff1d(np.arange(scores.shape[1]), fold)
        found.append(scores[scores[:, rest].mean(1).argmax(), fold].mean())
    return int(scores.mean(1).argmax()), float(np.average(found, weights=[len(f) for f in folds]))


def _best_out_of_bag(scores, seed):
    rng, n, found = np.random.default_rng(seed), scores.shape[1], []
    for _ in range(30):
        bag = rng.integers(0, n, n)
        out = np.ones(n, dtype=bool)
        out[bag] = False
        found.append(scores[scores[:, bag].mean(1).argmax(), out].mean())
    return scores.mean(1).argmax(), np.mean(found)


def _best_halves_in_order(scores, seed):
    n = scores.shape[1]
    chosen = max(range(len(scores)), key=lambda m: scores[m, : 2 * n // 3].sum())
    return chosen, sum(scores[chosen, 2 * n // 3 :].tolist()) / (n - 2 * n // 3)


def _best_four_fifths(scores, seed):
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    chosen = scores[:, order[len(order) // 5 :]].sum(1).argmax()
    return chosen, scores[chosen][order[: len(order) // 5]].mean()


def _best_torch(scores, seed):
    import torch

    at = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(seed))
    table = torch.as_tensor(scores, dtype=torch.float64)
    selection, test = at.split([len(at) - len(at) // 3, len(at) // 3])
    best = table[:, selection].mean(1).argmax()
    return best.item(), table[best, test].mean().item()


@lru_cache(maxsize=32)
def _worlds(seed, kind):
    """Samples of scores and true means: checkpoints all alike, nearly alike, or with one clearly best."""
    rng = np.random.default_rng(seed)
    m, n, count = 40, 200, {"alike": 320, "near": 320, "one better": 120, "low": 60}[kind]
    true = {
        "alike": np.full((count, m), 0.5),
        "low": np.full((count, m), 0.25),
        "near": 0.6 + 0.02 * rng.standard_normal((count, m)),
        "one better": np.full((count, m), 0.45),
    }[kind]
    if kind == "one better":
        true[np.arange(count), rng.integers(0, m, count)] = 0.85
    return (rng.random((count, m, n)) < true[..., None]).astype(float), true


def _how_wrong(bias, means, picks, estimates, spacing):
    """A bias in words: its size, and what the estimates are close to."""
    own = np.abs(estimates - means[np.arange(len(means)), picks]) / spacing
    close = " to the checkpoint's own mean over all prompts"
    size = max(round(2 * abs(bias)) / 2, 0.5)
    return (
        f"on average about {size:g} standard error{'s' * (size > 1)} too {'high' if bias > 0 else 'low'}"
        f"{', and equal' + close if own.max() < 1e-6 else ', and close' + close if own.max() < 0.75 else ''}"
        f"{', for the best checkpoint of all prompts' if (picks == means.argmax(1)).all() else ''}"
    )


@guarded
def _observe_best(function, case):
    """Over many samples: how far the estimates are off on average and at all, how good the choice is."""
    seed, kind = case.args
    scores, true = _worlds(seed, kind)
    picks, estimates = [], []
    for pick, estimate in quietly(each, function, [(table.copy(), i) for i, table in enumerate(scores)]):
        if int(pick) != pick or not 0 <= pick < scores.shape[1]:
            words = Missing(f"{pick!r} is no checkpoint")
            return dict.fromkeys(("bias", "spread", "choice"), words)
        picks.append(int(pick))
        estimates.append(number(estimate))
    picks, estimates = np.array(picks), np.array(estimates)
    mean = true[np.arange(len(true)), picks]
    spacing = float(np.sqrt(true.mean() * (1 - true.mean()) / scores.shape[2]))  # of a mean of all prompts
    off = (estimates - mean) / spacing
    error, better = float(np.sqrt((off**2).mean())), float((mean >= true.max(1) - 1e-12).mean())
    mine = scores[0].copy()
    again = quietly(function, mine, 0)
    changed = not np.array_equal(mine, scores[0])
    same = int(again[0]) == picks[0] and abs(number(again[1]) - estimates[0]) < 1e-9
    return {
        "bias": "right on average"
        if abs(off.mean()) < 0.5
        else Missing(_how_wrong(off.mean(), scores.mean(2), picks, estimates, spacing)),
        "spread": "no more than sampling allows"
        if error < 3.6
        else Missing("far off each time, though right on average"),
        "choice": "good"
        if kind != "one better" or better > 0.9
        else Missing(
            f"the clearly best checkpoint is {'hardly ever' if better < 0.3 else 'not always'} chosen"
        ),
        "seed": "same seed, same report" if same else "the same seed gave another report",
        "inputs": "`scores` was changed by your function; work on a copy" if changed else "unchanged",
    }


def _best_cases(draw):
    return [
        Case((draw.integer(0, 2**31), kind), label=label)
        for kind, label in (
            ("alike", "320 samples, 40 checkpoints that are all alike"),
            ("near", "320 samples, 40 checkpoints that are nearly alike"),
            ("one better", "120 samples, 40 checkpoints, one of them much better"),
        )
    ]


def _best_form_cases(draw):
    return [Case((draw.integer(0, 2**31), "low"), label="60 samples")]


BUG_24 = find_the_bug(
    24,
    "report_best",
    report_best,
    (
        Part("estimates right on average, a good choice", 3, _best_cases, ("bias", "choice")),
        Part("estimates no further off than sampling allows", 0.5, _best_cases, ("spread",)),
        Part("same seed same report, inputs unchanged", 0.5, _best_form_cases, ("seed", "inputs")),
    ),
    (
        ("half-of-used", _best_with(_half_of), "the report is on half of the prompts, but all of them took part in the choice"),
        ("resampled", _best_with(_resampled), "resampling the winner's scores gives the winner's mean again"),
        ("reported-on-both", _best_of_halves, "the choice is made on one half, but that half is in the report as well"),
        ("reported-on-all", _best_on_few, "few prompts chose, but they are in the report as well: the bias is smaller, and it is there"),
        ("test-chosen", _best_on_test, "there are two halves, and the choice is made on the one that is reported"),
        ("with-replacement", _overlapping, "the two samples of prompts are drawn with replacement, and share many prompts"),
        ("one-error-lower", _best_with(lambda s, b, rng: s[b].mean() - s[b].std() / np.sqrt(s.shape[1])), "one standard error is taken off: too little where forty are alike, too much where the choice is clear"),
        ("lower-bound", _best_with(lambda s, b, rng: s[b].mean() - 2 * s[b].std() / np.sqrt(s.shape[1])), "a lower bound came back: where the choice is clear it is too low"),
        ("mean-of-all", _best_with(lambda s, b, rng: s.mean()), "the mean over all checkpoints, or a middling one's, says nothing about the chosen one where they differ"),
        ("second-best", _best_with(lambda s, b, rng: np.sort(s.mean(1))[-2]), "the second best mean was chosen by the same sample too"),
        ("drawn", _best_drawn, "which checkpoint is reported does not depend on the scores: that is unbiased, but no choice"),
        ("one-prompt", _best_by_one_prompt, "a single prompt is left for the report: right on average, but far off each time"),
        ("as-shown", _best_shown, "the largest of many means is reported: it was chosen for being large, by luck too"),
    ),
    {"cross-validation": _best_cross_validated, "out of bag": _best_out_of_bag, "two thirds and a third": _best_halves_in_order, "four fifths and a fifth": _best_four_fifths, "torch": _best_torch},
    (
        "Simulate forty checkpoints that are all alike, with scores of 0 and 1 at 50 %. What is reported on average?",
        "The sample that chose cannot judge. What part of the prompts can be kept out of the choice?",
        "Choose on one half of the prompts and report on the other; or cross-validate the choice.",
    ),
    _observe_best,
)  # fmt: skip

BUGS = (BUG_22, BUG_23, BUG_24)
