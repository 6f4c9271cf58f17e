"""04-kto-pipeline: find the bug, those of what goes on for weeks: looks and rounds."""

import copy
import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from course_utils.checks.beside import beside
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug
from course_utils.checks.exercises.pipeline_logs import Fault
from course_utils.checks.observe import describe_error, observe_call, quietly
from course_utils.checks.scripts import layers
from course_utils.checks.scripts.calls import until_one_answers
from course_utils.words import type_of

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
    # a Brownian motion watched all the time leaves ±2.2414 within its time with probability 5 %, so any number of looks is safe
    for week, z in enumerate(_z_by_week(weeks), start=1):
        if abs(z) > 2.2414 * math.sqrt(planned / week):
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


def _alarm_at_the_highest(weeks, planned=12):
    z = np.abs(_z_by_week(weeks))
    return int(z.argmax()) + 1 if z.max() > stats.norm.isf(0.025 / planned) else None


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
    """Pocock's bounds (1977), read off on the safe side: 2.63 for up to 15 looks, 2.83 for up to 60."""
    for week, z in enumerate(_z_by_week(weeks)):
        if z**2 > (2.63 if planned <= 15 else 2.83) ** 2:
            return week + 1


def _alarm_spending(share, own=False):
    """A bound of its own each week: `share(week)` of the 5 %, on all votes so far or the week's own."""

    def answer(weeks, planned=12):
        z = [_z(*week) for week in weeks] if own else _z_by_week(weeks)
        return next(
            (w for w in range(1, len(z) + 1) if abs(z[w - 1]) > stats.norm.isf(share(w) * 0.025)), None
        )

    return answer


def _alarm_own_bonferroni(weeks, planned=12):
    bound = stats.norm.isf(0.025 / planned)
    return next((w for w, week in enumerate(weeks, 1) if abs(_z(*week)) > bound), None)


def _alarm_chi2(weeks, planned=12):
    up_c, n_c, up_t, n_t = np.cumsum(np.array(weeks), axis=0).T
    p = (up_c + up_t) / (n_c + n_t)
    chi2 = (up_t / n_t - up_c / n_c) ** 2 / (p * (1 - p) * (1 / n_c + 1 / n_t))
    hit = np.flatnonzero(stats.chi2.sf(chi2, 1) * planned < 0.05)
    return hit[0] + 1 if len(hit) else None


def _alarm_shared_among_given(weeks, planned=12, own=False):
    """5 % shared out among the weeks given, not among those planned."""
    bound = stats.norm.isf(0.025 / len(weeks))
    z = [_z(*week) for week in weeks] if own else _z_by_week(weeks)
    return next((w for w in range(1, len(z) + 1) if abs(z[w - 1]) > bound), None)


# Simulated experiments without an effect. An answer in Python takes up to milliseconds for one of them, so not
# all are tried: a few hundred are picked in which many kinds of rules alarm as often as among the thousands that
# they come from, and of those in which no usual statistic is large every tenth stands for ten.


@dataclass(frozen=True)
class _Null:
    """Experiments without an effect: their weeks, what each counts for, and |z| week by week."""

    weeks: list
    counts: np.ndarray
    total: np.ndarray  # of all votes so far
    own: np.ndarray  # of the week's own votes


def _abs_z(ups, votes):
    """|z| of ups and votes, shape (..., 2) for the two arms."""
    p = ups.sum(-1) / votes.sum(-1)
    rates = ups / votes
    return np.abs(rates[..., 1] - rates[..., 0]) / np.sqrt(p * (1 - p) * (1 / votes).sum(-1))


def _usual_alarms(total, own, planned):
    """Whether each of many rules, right and wrong, alarms: shape (experiments, rules)."""
    week = np.arange(1, planned + 1)
    shares = (0.05 / planned, 0.05 / (week * (week + 1)), 0.05 * 6 / np.pi**2 / week**2, 0.05 * 0.5**week)
    alarms = [(own > stats.norm.isf(share / 2)).any(1) for share in shares]
    alarms += [(total > stats.norm.isf(share / 2)).any(1) for share in shares]
    alarms += [total[:, -1] > 1.96, own[:, -1] > 1.96, (total > 2.13 * np.sqrt(planned / week)).any(1)]
    alarms += [(total > bound).any(1) for bound in (1.96, 2.17, 2.4, 2.576, 2.7)]
    so_far = stats.norm.isf(0.025 / week)[:6]  # 5 % shared out among the weeks up to the present one
    alarms += [(z[:, :6] > so_far).any(1) for z in (total, own)]
    return np.stack(alarms, 1)


@functools.lru_cache(maxsize=16)
def _without_effect(seed, planned, size):
    """`size` experiments of `planned` weeks, by number, of which only the loud ones and a tenth of the others are kept."""
    rng = np.random.default_rng(seed)
    votes = rng.integers(380, 520, (planned, 2))
    many = 20 * size
    ups = np.stack([rng.binomial(votes[w], 0.65, (many, 2)) for w in range(planned)], axis=1)
    total, own = _abs_z(ups.cumsum(1), votes.cumsum(0)), _abs_z(ups, votes)
    alarms = _usual_alarms(total, own, planned)
    # every twentieth of experiments sorted by the rules that alarm; of the twenty ways the most typical one
    order = np.lexsort(alarms.T)
    off = [np.abs(alarms[order[k::20]].mean(0) - alarms.mean(0)).max() for k in range(20)]
    picked = rng.permutation(order[int(np.argmin(off)) :: 20])
    usual = np.minimum(2.2 if planned > 20 else 1.95, 2.0 * np.sqrt(planned / np.arange(1, planned + 1)))
    usual[-1] = 1.95
    loud = (total[picked] > usual).any(1) | (own[picked] > stats.norm.isf(0.075 / planned)).any(1)
    loud |= alarms[picked][:, :11].any(1)  # all but the bounds that no rule should have
    quiet = np.flatnonzero(~loud)
    tenth = quiet[::10]
    counts = np.concatenate([np.ones(loud.sum()), np.full(len(tenth), len(quiet) / len(tenth))])
    picked = picked[np.concatenate([np.flatnonzero(loud), tenth])]
    weeks = [
        [(int(u[0]), int(n[0]), int(u[1]), int(n[1])) for u, n in zip(ups[i], votes, strict=True)]
        for i in picked
    ]
    return _Null(weeks, counts / size, total[picked], own[picked])


@dataclass(frozen=True)
class _Looks:
    """How experiments without an effect are shown to an answer, and how often it may alarm.

    `most`: 5 % and what chance may add in so many experiments. `steps`: shares of alarms between which two
    answers are taken for the same.
    """

    planned: int
    size: int
    growing: bool
    most: float
    steps: tuple


_TWELVE = _Looks(12, 500, False, 0.066, (0.096, 0.122, 0.175, 0.3, 0.75))
_GROWING = _Looks(12, 500, True, 0.065, (0.1, 0.135, 0.21, 0.5))
_YEAR = _Looks(52, 260, False, 0.07, (0.121, 0.16, 0.245, 0.3, 0.6))
_SOON = 6  # weeks after each of which an answer is asked in a growing list


def _alarms_of(function, looks, seed):
    """For each experiment the week of the alarm, or None; the first thing that is neither instead of a list."""
    null, shown = _without_effect(seed, looks.planned, looks.size), []
    for i, weeks in enumerate(null.weeks):
        lengths = [looks.planned]
        if looks.growing:
            lengths = [k for k in range(1, _SOON + 1) if max(null.total[i, k - 1], null.own[i, k - 1]) > 1.9]
        shown.append((weeks[: max(lengths, default=0)], lengths))
    kwargs = {} if looks.planned == 12 else {"planned": looks.planned}
    found = beside(function, until_one_answers, shown, kwargs)
    odd = next((words for week, length in found if (words := _odd(week, length))), None)
    return odd or [None if week is None else int(week) for week, _ in found]


def _odd(week, of):
    """What is wrong with a returned value that is neither None nor a week, or an empty text."""
    if week is None:
        return ""
    if isinstance(week, (int, np.integer)) and not isinstance(week, bool):
        return "" if 1 <= week <= of else f"{week}, which is no week"
    return f"{type_of(week)} where a week or None is wanted"


def _observe_alarm(function, case):
    """Whether there is an alarm, or how often; which week a valid rule alarms at is its own affair."""
    if not case.extra:
        seen = observe_call(function, case)
        if "error" in seen:
            return seen
        week = seen["result"]
        odd = _odd(week, len(case.args[0]))
        words = Missing(odd) if odd else "no alarm" if week is None else "an alarm"
        if words == "no alarm":
            words = Missing("no alarm, though the arms differ clearly")
        if words == "an alarm":
            words = _not_the_first(function, case, int(week)) or words
        return {"result": words, "inputs": seen["inputs"]}
    looks, seed = case.extra
    try:
        found = quietly(_alarms_of, function, looks, seed)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    if isinstance(found, str):
        return {"result": Missing(found), "inputs": "unchanged"}
    null = _without_effect(seed, looks.planned, looks.size)
    share = float(sum(count for count, week in zip(null.counts, found, strict=True) if week))
    if share <= looks.most:
        return {"result": "at most about one alarm in twenty", "inputs": "unchanged"}
    early = any(week is not None and week <= 3 for week in found)
    kind = f"step {np.searchsorted(looks.steps, share)}, {'early' if early else 'late'}"
    how = " in one of these calls" if looks.growing else ""
    return {
        "result": Fault(f"about {share:.0%} of the experiments without an effect give an alarm{how}; 5 % are allowed", kind),
        "inputs": "unchanged",
    }  # fmt: skip


def _not_the_first(function, case, week):
    """Whether there is an alarm already in half as many weeks: so far apart not even a bound that is drawn may differ."""
    half = week // 2
    sooner = Case((case.args[0][:half],), case.kwargs)
    if not half or observe_call(function, sooner).get("result") is None:
        return None
    words = f"week {week} comes back, though the first {half} by themselves give an alarm; the first week with one is wanted"
    return Fault(words, "not the first")


def _null_cases(draw):
    seed, year = draw.integer(0, 2**31), draw.integer(0, 2**31)
    return [
        Case(label="both arms alike, simulated, twelve weeks", extra=(_TWELVE, seed)),
        Case(
            label="both arms alike, simulated, called after each of the first six weeks with the weeks so far",
            extra=(_GROWING, seed),
        ),
        Case(label="both arms alike, simulated, 52 weeks, planned=52", extra=(_YEAR, year)),
    ]


def _different_cases(draw):
    """Effects that are seen in each single week, even under the strictest of the usual bounds."""
    rng = np.random.default_rng(draw.integer(0, 2**31))
    cases = []
    for lift, planned, words in (
        (0.15, 12, "fifteen points better"),
        (-0.15, 12, "fifteen points worse"),
        (0.12, 12, "twelve points better, of twice the votes"),
        (-0.17, 52, "seventeen points worse, planned=52"),
    ):
        votes = rng.integers(440, 560, (planned, 2)) * (2 if lift == 0.12 else 1)
        ups = rng.binomial(votes, [0.65, 0.65 + lift])
        weeks = np.stack([ups[:, 0], votes[:, 0], ups[:, 1], votes[:, 1]], axis=-1)
        kwargs = {} if planned == 12 else {"planned": planned}
        cases.append(Case(([tuple(week) for week in weeks.tolist()],), kwargs, label=words))
    return cases


def _both_cases(draw):
    """Experiments with an effect beside those without: neither `never` nor `always` may earn a part."""
    return _null_cases(draw) + _different_cases(draw)


BUG_07 = find_the_bug(
    7,
    "first_alarm",
    first_alarm,
    (
        Part("few alarms where there is no effect, an alarm where it is clear", 3.5, _both_cases),
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
            "planned-ignored",
            _alarm(lambda z, w, planned: abs(z[-1]) > 2.5),
            "the bound is the same however many weeks are planned; what is enough for a few looks is not enough for 52",
        ),
        (
            "still-repeated-at-2.4",
            _alarm(lambda z, w, planned: abs(z[-1]) > 2.4),
            "the bound is stricter, but not enough for twelve looks, and it does not ask how many are planned",
        ),
        (
            "shared-among-the-weeks-given",
            _alarm_shared_among_given,
            "5 % are shared out among the weeks given so far; a list that grows from week to week begins with the whole 5 %. "
            "`planned` says how many looks there will be",
        ),
        (
            "own-weeks-shared-among-those-given",
            functools.partial(_alarm_shared_among_given, own=True),
            "each week is tested on its own votes, and 5 % are shared out among the weeks given so far; a list that grows "
            "begins with the whole 5 %. `planned` says how many looks there will be",
        ),
        (
            "own-weeks-of-twelve",
            lambda weeks, planned=12: _alarm_own_bonferroni(weeks),
            "each week is tested at a twelfth of 5 %, however many weeks are planned",
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
        (
            "week-of-the-largest-z",
            _alarm_at_the_highest,
            "the week of the largest difference comes back; the first week with an alarm is wanted",
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
        "6 / (pi w)² of 5 %": _alarm_spending(lambda w: 6 / math.pi**2 / w**2),
        "own weeks, Bonferroni": _alarm_own_bonferroni,
        "own weeks, 1 / (w (w + 1))": _alarm_spending(lambda w: 1 / (w * (w + 1)), own=True),
        "own weeks, halved": _alarm_spending(lambda w: 0.5**w, own=True),
        "halved": _alarm_spending(lambda w: 0.5**w),
        "2.87": _alarm(lambda z, w, planned: abs(z[-1]) > 2.87),
        "chi2": _alarm_chi2,
        "the last week alone": lambda weeks, planned=12: (
            len(weeks) if len(weeks) == planned and abs(_z(*weeks[-1])) > 1.96 else None
        ),
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


def _rounds_policy_frozen(policy, collect, train, rounds=3):
    reference = copy.deepcopy(policy.requires_grad_(False))
    return _later_rounds(policy, reference, collect, train, rounds)


def _rounds_evaluating(policy, collect, train, rounds=3):
    reference = copy.deepcopy(policy.eval())
    return _later_rounds(policy, reference, collect, train, rounds)


def _rounds_without_gradients(policy, collect, train, rounds=3):
    with torch.no_grad():
        return _later_rounds(policy, copy.deepcopy(policy), collect, train, rounds)


def _rounds_buffers_shared(policy, collect, train, rounds=3):
    """Parameters of its own, the buffers of the policy."""
    reference = copy.deepcopy(policy)
    for name, buffer in policy.named_buffers():
        setattr(reference, name, buffer)
    return _later_rounds(policy, reference, collect, train, rounds)


def _rounds_own_eval(policy, collect, train, rounds=3):
    reference = copy.deepcopy(policy).eval()
    for parameter in reference.parameters():
        parameter.requires_grad = False
    for _ in range(rounds):
        policy.eval()
        votes = collect(policy)
        policy.train()
        policy = train(policy, reference, votes)
    return policy


def _later_rounds(policy, reference, collect, train, rounds):
    for _ in range(rounds):
        policy = train(policy, reference, collect(policy))
    return policy


def _observe_rounds(function, case):
    """What collect and train were given, as weights, and what came back."""
    try:
        log, value = quietly(beside, function, layers.rounds, *case.args, case.kwargs)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    states = [_trainable(*entry) for kind, entry in log if kind == "policy"]
    return {
        "reference": [_against(*entry) for kind, entry in log if kind == "trained against"],
        "collected": [entry for kind, entry in log if kind == "collected from"],
        "votes": [entry for kind, entry in log if kind == "trained on"],
        "policy": value,
        "state": next((Missing(state) for state in states if state != "ready"), "ready"),
    }


def _against(weight, moves, buffers_move, itself):
    """The reference that `train` was given, in words."""
    moved = (
        " and moves with the policy" if moves else ", but its buffers move with the policy's" * buffers_move
    )
    return f"weight {weight:g}{moved}{', the policy itself' if itself else ''}"


def _trainable(requires_grad, training, recorded):
    """ "ready", or why the policy that `train` is given cannot be trained as it came."""
    if not requires_grad:
        return "the policy that train() is given is frozen (requires_grad is False): no optimiser can move it"
    if not training:
        return "the policy that train() is given was left in eval mode, without its dropout"
    if not recorded:
        return (
            "train() is called with gradients switched off (no_grad), so that no loss can be differentiated"
        )
    return "ready"


def _round_cases(draw):
    w = round(draw.uniform(1, 3), 2)
    return [
        Case(
            (w, 0.5),
            label=f"three rounds from weight {w:g}, each of which adds 0.5 and an eighth of the reference",
        ),
        Case(
            (w, -0.25),
            {"rounds": 5},
            label=f"five rounds from weight {w:g}, each of which takes away 0.25 and adds an eighth of the reference",
        ),
    ]


BUG_08 = find_the_bug(
    8,
    "online_rounds",
    online_rounds,
    (
        Part("the reference in each round", 2, _round_cases, ("reference", "policy")),
        Part("the rounds otherwise", 1, _round_cases, ("collected", "votes", "policy", "state")),
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
        (
            "policy-frozen",
            _rounds_policy_frozen,
            "the policy was frozen together with its reference: requires_grad_ changes the module it is called on, and a copy of a frozen module is frozen too. Freeze the reference alone",
        ),
        (
            "policy-in-eval-mode",
            _rounds_evaluating,
            "the policy was put into eval mode together with its reference and is trained in it; .eval() changes the module it is called on",
        ),
        (
            "without-gradients",
            _rounds_without_gradients,
            "the rounds run under no_grad, in which train() cannot learn; only collecting may",
        ),
        (
            "buffers-shared",
            _rounds_buffers_shared,
            "the reference has parameters of its own, but its buffers are still the policy's",
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
        "eval for collecting": _rounds_own_eval,
    },
    (
        "Print the reference's weights in each round.",
        "What does `reference = policy` copy?",
        "A copy with weights of its own, made once, before the first round.",
    ),
    _observe_rounds,
)
