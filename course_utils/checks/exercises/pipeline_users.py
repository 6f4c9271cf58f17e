"""04-kto-pipeline: users whose votes say nothing about the response."""

from collections import Counter
from statistics import NormalDist

import numpy as np
import pandas as pd
from scipy.stats import beta, binom, binomtest

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.pipeline_logs import (
    DOWN,
    INDEXES,
    UP,
    Log,
    listed,
    remembered,
    run,
)
from course_utils.feedback.clean import flag_biased_users
from course_utils.words import type_of

# --- how an answer is looked at ------------------------------------------------


def _observe_flags(function, case):
    """For each user, in words, whether it was flagged."""
    result, error, inputs = run(function, case)
    if error:
        return {"error": error}
    frame = case.args[0]
    rows = list(zip(listed(frame["user_id"]), listed(frame["feedback"]), strict=True))
    votes, ups = Counter(user for user, _ in rows), Counter(user for user, verdict in rows if verdict == UP)
    kind = type_of(result)
    seen = {
        "kind": "a set" if isinstance(result, (set, frozenset)) else Missing(f"{kind} where a set is wanted")
    }
    seen["inputs"] = inputs
    flagged = _ids(result)
    if flagged is None:
        words = "None (is there a `return`?)" if result is None else kind
        return seen | {"result": Missing(f"{words} where a set of user ids is wanted")}
    if strange := [user for user in flagged if user not in votes]:
        return seen | {"result": Missing(f"{strange[0]!r} is no user id of the frame")}
    seen["result"] = {
        f"user {user}, {ups[user]} of {count} votes up": "flagged" if user in flagged else "not flagged"
        for user, count in sorted(votes.items())
    }
    return seen


def _ids(result):
    """The user ids in a set, or in what a student took for one; None where there are none to read."""
    if isinstance(result, (pd.DataFrame, str)):
        return None
    try:
        return set(result)
    except TypeError:
        return None


# --- its cases: clear ones, on which a binomial tail, a Wilson and a Beta interval agree -------------


def _log_of(rng, users, crowd, index="plain", rate=0.65, warning=True, level=None, label=""):
    """A case: `users` maps an id to (ups, downs); ordinary users around them."""
    log = Log(rng)
    log.crowd(crowd, rate=rate)
    for user, (ups, downs) in users.items():
        log.votes(user, ups, downs)
    frame, _ = log.frame(index, warning)
    return Case((frame,), {} if level is None else {"level": level}, label=label)


def _votes_of_all_kinds(rng):
    """Votes that are given twice, on missing responses or on ones with a warning: all are votes of the frame."""
    log = Log(rng)
    log.crowd(200)
    for _ in range(45):
        log.add("a", True, "the same question", "the same answer")
    for user, fault in (("b", {"response": None}), ("c", {"response": " "}), ("d", {"warned": True})):
        log.votes(user, 30, 0)
        log.votes(user, 0, 30, **fault)
    frame, _ = log.frame()
    return Case((frame,), label="votes given twice, on missing or blank responses and on ones with a warning")


@remembered
def _heavy_cases(rng):
    n = int(rng.integers(45, 80))
    return [
        _log_of(
            rng, {"a": (40, 0), "b": (0, 40), "c": (300, 100), "d": (45, 22)}, 300,
            label="40 of 40 up, none of 40 up, and 300 of 400 up",
        ),
        _log_of(
            rng, {"a": (n, 0), "b": (0, n + 3), "c": (52, 28), "d": (150, 150)}, 800, "repeated",
            label="two users of one verdict and one of 150 up, 150 down; repeated index labels",
        ),
        _log_of(
            rng, {"a": (194, 6), "b": (5, 195), "c": (340, 60), "d": (60, 340), "e": (60, 0)}, 600, "words", warning=False,
            label="97 % and 2.5 % up, beside 85 % and 15 %",
        ),
        _log_of(
            rng, {"007": (0, 60), "7": (39, 21), "b": (650, 350), "c": (13, 7)}, 300, "shuffled",
            label="users 7 and 007, and one of 1000 votes at 65 %",
        ),
        _log_of(
            rng, {"a": (1840, 160), "b": (160, 1840), "c": (0, 60)}, 200, label="2000 votes at 92 %, and 2000 at 8 %",
        ),
        _votes_of_all_kinds(rng),
        _log_of(rng, {"a": (60, 0)}, 250, "falling", label="one user, always up"),
        _log_of(rng, {"a": (0, 60)}, 250, label="one user, always down"),
        _log_of(rng, {"a": (2400, 800), "b": (26, 14)}, 100, label="nobody of one verdict, one user of 3200 votes"),
    ]  # fmt: skip


def _few(rng, up, down, rate, index):
    """Users of 1 to 3 votes, and some more that are one-sided by chance, among ordinary ones."""
    users = {f"s{k}{side}": ((k, 0) if side else (0, k)) for k in (1, 2, 3) for side in (0, 1)}
    users |= {f"t{k}": (k, 0) for k in up} | {f"v{k}": (0, k) for k in down}
    # enough ordinary votes to hold the whole frame's rate
    users |= {"w1": (round(200 * rate), 200 - round(200 * rate)), "x": (60, 0), "y": (0, 60)}
    return _log_of(rng, users, 400, index, rate, label=f"users of few votes, about {rate:.0%} up overall")


@remembered
def _few_cases(rng):
    lonely = {f"l{i}": (0, 1) for i in range(160)} | {
        "m": (480, 200),
        "x": (60, 0),
        "t8": (8, 0),
        "y": (0, 60),
    }
    return [
        _few(rng, (4, 5, 8, 10), (4,), 0.65, "plain"),
        _few(rng, (4,), (4, 5, 8, 10), 0.35, "repeated"),
        _few(rng, (5, 9, 10), (4,), 0.66, INDEXES[rng.integers(2, 5)]),
        _log_of(rng, lonely, 120, label="many users of one vote, all down"),
    ]


@remembered
def _level_cases(rng):
    # nobody whom a 95 % interval beyond 0.9 or 0.1 would flag: that is another right reading, whatever the level
    users = {"a": (20, 0), "b": (400, 0), "c": (0, 300), "d": (65, 35)}
    low = {"a": (0, 20), "b": (400, 0), "c": (0, 400)}
    return [
        _log_of(rng, users, 900, level=1e-6, label="20 of 20 up at a level of 1e-6"),
        _log_of(rng, users, 900, "words", level=1e-7, label="20 of 20 up at a level of 1e-7"),
        _log_of(rng, low, 1000, rate=0.35, level=1e-6, label="none of 20 up at 1e-6, about 35 % up overall"),
        _log_of(
            rng,
            {"a": (32, 0), "b": (400, 0), "d": (65, 35)},
            900,
            level=1e-9,
            label="32 of 32 up at a level of 1e-9",
        ),
        # at their mode the binomial's single probabilities are below the level, its tails one half
        _log_of(
            rng,
            {f"a{i}": (140, 10) for i in range(6)},
            0,
            level=0.2,
            label="140 of 150 up like everybody, at a level of 0.2",
        ),
    ]


@remembered
def _flag_form_cases(rng):
    users = {"a": (50, 0), "b": (0, 45), "c": (50, 25)}
    return [
        _log_of(rng, users, 200, kind, warning=kind != "words", label=f"index {kind}") for kind in INDEXES
    ]


# --- its answers --------------------------------------------------------------------------------


def _counts(feedback):
    votes = (feedback["feedback"] == UP).groupby(feedback["user_id"]).agg(up="sum", n="size")
    return votes["up"], votes["n"], votes["up"] / votes["n"]


def _flagged(rule, overall=lambda feedback: (feedback["feedback"] == UP).mean()):
    """An answer from a rule on (ups, votes, rates, overall rate, level), each a Series but the last two."""

    def answer(feedback, level=0.001):
        up, n, rate = _counts(feedback)
        return set(up.index[rule(up, n, rate, overall(feedback), level)])

    return answer


def _tails(up, n, p):
    """P(X >= up) and P(X <= up)."""
    return binom.sf(up - 1, n, p), binom.cdf(up, n, p)


def _both(up, n, rate, p, level):
    high, low = _tails(up, n, p)
    return ((rate > 0.9) & (high < level)) | ((rate < 0.1) & (low < level))


def _mean_of_users(feedback):
    return _counts(feedback)[2].mean()


def _with_column(feedback, level=0.001):
    feedback["up"] = feedback["feedback"] == UP
    return flag_biased_users(feedback, level)


def _wilson(feedback, level=0.001):
    up, n, rate = _counts(feedback)
    z = NormalDist().inv_cdf(0.975)
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return set(up.index[(middle - half > 0.9) | (middle + half < 0.1)])


def _wilson_bounds(rate, n, level):
    z = NormalDist().inv_cdf(1 - level / 2)
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def _wilson_past_the_limits(feedback, level=0.001):
    up, n, rate = _counts(feedback)
    low, high = _wilson_bounds(rate, n, level)
    return set(up.index[(low > 0.9) | (high < 0.1)])


def _wilson_past_the_ordinary(feedback, level=0.001):
    up, n, rate = _counts(feedback)
    low, high = _wilson_bounds(rate, n, 2 * level)
    p = (feedback["feedback"] == UP).mean()
    return set(up.index[((rate > 0.9) & (low > p)) | ((rate < 0.1) & (high < p))])


def _jeffreys_interval(feedback, level=0.001):
    up, n, rate = _counts(feedback)
    p = (feedback["feedback"] == UP).mean()
    low, high = (beta.ppf(tail, up + 0.5, n - up + 0.5) for tail in (level, 1 - level))
    return set(up.index[((rate > 0.9) & (low > p)) | ((rate < 0.1) & (high < p))])


def _beta_interval(feedback, level=0.001):
    up, n, rate = _counts(feedback)
    low, high = beta.ppf(0.025, up + 1, n - up + 1), beta.ppf(0.975, up + 1, n - up + 1)
    return frozenset(up.index[(low > 0.9) | (high < 0.1)])


def _with_binomtest(feedback, level=0.001):
    overall = float((feedback["feedback"] == UP).mean())
    found = set()
    for user in feedback["user_id"].unique():
        votes = feedback.loc[feedback["user_id"] == user, "feedback"]
        k, n = int((votes == UP).sum()), len(votes)
        side = "greater" if k / n > 0.9 else "less" if k / n < 0.1 else None
        if side and binomtest(k, n, overall, alternative=side).pvalue < level:
            found.add(user)
    return found


def _with_counters(feedback, level=0.001):
    votes, ups = Counter(), Counter()
    for user, verdict in zip(feedback["user_id"], feedback["feedback"], strict=True):
        votes[user] += 1
        ups[user] += verdict == UP
    p = sum(ups.values()) / sum(votes.values())
    return {
        user
        for user, n in votes.items()
        if (ups[user] > 0.9 * n and binom.sf(ups[user] - 1, n, p) < level)
        or (ups[user] < 0.1 * n and binom.cdf(ups[user], n, p) < level)
    }


def _with_crosstab(feedback, level=0.001):
    table = pd.crosstab(feedback["user_id"].to_numpy(), feedback["feedback"].to_numpy())
    table = table.reindex(columns=[UP, DOWN], fill_value=0)
    n = table.sum(axis=1)
    high, low = _tails(table[UP], n, table[UP].sum() / n.sum())
    extreme = (np.minimum(high, low) < level) & (~(table[UP] / n).between(0.1, 0.9))
    return {np.str_(user) for user in table.index[extreme]}


FLAG_BIASED_USERS = Exercise(
    id="flag-biased-users",
    function="flag_biased_users",
    reference=flag_biased_users,
    observe=_observe_flags,
    parts=(
        Part("users of many votes", 2, _heavy_cases),
        Part("a few votes are no evidence", 1, _few_cases),
        Part("another level", 1, _level_cases),
        Part("a set of user ids, frame unchanged", 1, _flag_form_cases, ("kind", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "level-ignored",
            lambda feedback, level=0.001: flag_biased_users(feedback),
            "the argument `level` has no effect",
        ),
        Misconception(
            "rate-only",
            _flagged(lambda up, n, rate, p, level: (rate > 0.9) | (rate < 0.1)),
            "users were flagged by their rate alone, or by an interval that has no width at a rate of 0 or 1 "
            "(rate ± z√(rate(1 − rate)/n)); with one vote the rate is 0 or 1 whoever the user is",
        ),
        Misconception(
            "at-least-5",
            _flagged(lambda up, n, rate, p, level: (n >= 5) & ((rate > 0.9) | (rate < 0.1))),
            "a minimum of a few votes beside the rate still flags users that are one-sided by chance; ask how "
            "likely so one-sided a row of votes is",
        ),
        Misconception(
            "at-least-10",
            _flagged(lambda up, n, rate, p, level: (n >= 10) & ((rate > 0.9) | (rate < 0.1))),
            "ten votes and an extreme rate were enough; where most votes are up, ten ups in a row are nothing rare",
        ),
        Misconception(
            "at-least-30",
            _flagged(lambda up, n, rate, p, level: (n >= 30) & ((rate > 0.9) | (rate < 0.1))),
            "a minimum number of votes beside the rate knows neither `level` nor the rate of the whole frame; compute the tail",
        ),
        Misconception(
            "limits-5-95",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate > 0.95) | (rate < 0.05)) & (np.minimum(*_tails(up, n, p)) < level)
                )
            ),
            "the rate is called extreme too late; the limits are 0.1 and 0.9",
        ),
        Misconception(
            "point-probability",
            _flagged(
                lambda up, n, rate, p, level: ((rate > 0.9) | (rate < 0.1)) & (binom.pmf(up, n, p) < level)
            ),
            "the probability of exactly k ups was taken; with many votes it is small for every k. The tail is wanted: k or more, k or fewer",
        ),
        Misconception(
            "twice-as-one",
            lambda feedback, level=0.001: flag_biased_users(
                feedback.drop_duplicates(["prompt", "response", "user_id", "feedback"]), level
            ),
            "votes given twice were counted once; here every row of the frame is a vote",
        ),
        Misconception(
            "rows-with-answers",
            lambda feedback, level=0.001: flag_biased_users(feedback.dropna(), level),
            "votes on missing responses were left out; every row of the frame is a vote",
        ),
        Misconception(
            "rows-without-warning",
            lambda feedback, level=0.001: flag_biased_users(
                feedback[~feedback["content_warning"]] if "content_warning" in feedback else feedback, level
            ),
            "votes on responses with a content warning were left out; every row of the frame is a vote",
        ),
        Misconception(
            "limits-20-80",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate > 0.8) | (rate < 0.2)) & (np.minimum(*_tails(up, n, p)) < level)
                )
            ),
            "the rate is called extreme too early; the limits are 0.1 and 0.9",
        ),
        Misconception(
            "tail-only",
            _flagged(lambda up, n, rate, p, level: np.minimum(*_tails(up, n, p)) < level),
            "a tail below the level is not enough: with many votes any rate that is not the overall one has it. "
            "The rate itself must be extreme too",
        ),
        Misconception(
            "either",
            _flagged(
                lambda up, n, rate, p, level: (
                    (rate > 0.9) | (rate < 0.1) | (np.minimum(*_tails(up, n, p)) < level)
                )
            ),
            "an extreme rate or a small tail was enough; both are wanted",
        ),
        Misconception(
            "up-only",
            _flagged(lambda up, n, rate, p, level: (rate > 0.9) & (_tails(up, n, p)[0] < level)),
            "only users who press thumbs-up are found; those who press thumbs-down say as little",
        ),
        Misconception(
            "down-only",
            _flagged(lambda up, n, rate, p, level: (rate < 0.1) & (_tails(up, n, p)[1] < level)),
            "only users who press thumbs-down are found; those who press thumbs-up say as little",
        ),
        Misconception(
            "coin",
            _flagged(lambda up, n, rate, p, level: _both(up, n, rate, 0.5, level)),
            "the tail was computed for a fair coin; an ordinary user's rate is that of the whole frame",
        ),
        Misconception(
            "fixed-65",
            _flagged(lambda up, n, rate, p, level: _both(up, n, rate, 0.65, level)),
            "the tail was computed for 65 %, whatever the frame; use its own rate",
        ),
        Misconception(
            "mean-of-users",
            _flagged(_both, _mean_of_users),
            "the overall rate was taken as the mean of the users' rates; it is the share of all rows",
        ),
        Misconception(
            "one-short",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate > 0.9) & (binom.sf(up, n, p) < level))
                    | ((rate < 0.1) & (binom.cdf(up, n, p) < level))
                )
            ),
            "`sf(k)` is the probability of more than k; with all votes up that is 0 for anybody. The observed k belongs in the tail",
        ),
        Misconception(
            "one-short-below",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate > 0.9) & (binom.sf(up - 1, n, p) < level))
                    | ((rate < 0.1) & (binom.cdf(up - 1, n, p) < level))
                )
            ),
            "`cdf(k - 1)` is the probability of fewer than k; with all votes down that is 0 for anybody. The observed k belongs in the tail",
        ),
        Misconception(
            "wrong-tails",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate > 0.9) & (binom.cdf(up, n, p) < level))
                    | ((rate < 0.1) & (binom.sf(up - 1, n, p) < level))
                )
            ),
            "nobody is flagged, not even users of dozens of votes that are all alike. With a tail: for a high rate it is the "
            "probability of so many ups or more. With an interval: it need exclude the ordinary rate, not the limits 0.1 and 0.9",
        ),
        Misconception(
            "interval-past-the-limits",
            _wilson_past_the_limits,
            "the whole interval is held against 0.1 and 0.9: at so small a level that takes hundreds of votes. The rate itself is "
            "held against them; the interval need exclude the ordinary rate",
        ),
        Misconception(
            "not-below",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate > 0.9) & (_tails(up, n, p)[0] > level))
                    | ((rate < 0.1) & (_tails(up, n, p)[1] > level))
                )
            ),
            "the comparison with the level is turned round: a small tail speaks against chance",
        ),
        Misconception(
            "one-button-only",
            _flagged(
                lambda up, n, rate, p, level: (
                    ((rate == 1) | (rate == 0)) & (np.minimum(*_tails(up, n, p)) < level)
                )
            ),
            "only users who never pressed the other button are found; a slip in a hundred does not make a vote honest",
        ),
        Misconception(
            "activity",
            _flagged(lambda up, n, rate, p, level: n > n.mean() + 3 * n.std()),
            "users were flagged for the number of their votes; that says nothing about how they vote",
        ),
        Misconception(
            "level-over-users",
            _flagged(lambda up, n, rate, p, level: _both(up, n, rate, p, 0.05)),
            "the tail is held against 0.05, not against `level`",
        ),
        Misconception(
            "complement",
            lambda feedback, level=0.001: set(feedback["user_id"]) - flag_biased_users(feedback, level),
            "these are the users to keep; the ones to flag are wanted",
        ),
        Misconception(
            "list",
            lambda feedback, level=0.001: sorted(flag_biased_users(feedback, level)),
            "a list was returned; a set is wanted",
        ),
        Misconception(
            "rows",
            lambda feedback, level=0.001: feedback["user_id"].isin(flag_biased_users(feedback, level)),
            "a True or False for each row was returned; the users themselves are wanted",
        ),
        Misconception(
            "column-added",
            _with_column,
            "a column was added to the frame that was given",
        ),
    ),
    alternatives={
        "wilson": _wilson,
        "wilson about the ordinary rate": _wilson_past_the_ordinary,
        "beta interval": _beta_interval,
        "Jeffreys' interval about the ordinary rate": _jeffreys_interval,
        "binomtest": _with_binomtest,
        "counters": _with_counters,
        "crosstab": _with_crosstab,
    },
    hints=(
        'Count each user\'s votes and thumbs-up: group `feedback["feedback"] == "thumbs_up"` by user and take sum and size.',
        "An extreme rate alone is no evidence. Ask: if this user voted like everybody, how likely were so many "
        "thumbs-up or more? That is a tail of Binomial(votes, overall rate): `scipy.stats.binom`.",
        "`binom.sf(k - 1, n, p)` is P(X ≥ k), `binom.cdf(k, n, p)` is P(X ≤ k). Flag where the rate is above 0.9 and the "
        "first is below `level`, or the rate is below 0.1 and the second is.",
    ),
)
