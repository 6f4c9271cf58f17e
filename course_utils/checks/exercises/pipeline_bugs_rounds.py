"""04-kto-pipeline: find the bug, those of what goes on for weeks: looks and rounds."""

import copy
import functools
import math

import numpy as np
from scipy import stats

from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug
from course_utils.checks.observe import describe_error, observe_call, quietly

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


BUG_07 = find_the_bug(
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


BUG_08 = find_the_bug(
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
