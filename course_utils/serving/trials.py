"""How often the rules are wrong: simulated quiet weeks, shifts, and experiments without an effect."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from course_utils.serving.monitor import cusum, upper_limit
from course_utils.serving.rollout import Z95, always_valid_decision, planned_looks_decision


@dataclass(frozen=True)
class Measure:
    """A weekly measure of a quiet service.

    Attributes:
        kind: "amount" or "share", as in `prediction_limit`.
        level: its mean over the weeks.
        wobble: standard deviation between weeks that no sampling explains, relative to the level.
        rows: what a week's value is the mean of.
        spread: standard deviation between rows, relative to the level, for an amount.
    """

    kind: str
    level: float
    wobble: float
    rows: int
    spread: float = 0.0


# 2,000 responses and 200 votes a week, of which 35 % are thumbs-down; chosen, not measured on a real service
QUIET = {
    "length": Measure("amount", 80.0, 0.03, 2000, spread=0.6),
    "repetition": Measure("share", 0.03, 0.12, 2000),
    "safety": Measure("share", 0.002, 0.15, 2000),
    "feedback": Measure("share", 0.35, 0.012 / 0.35, 200),
}


def weekly_values(measure, shape, generator, level=None):
    """Values of a measure in quiet weeks, or in weeks with another level.

    Args:
        measure: a `Measure`.
        shape: of the array that comes back, e.g. (repeats, weeks).
        generator: a numpy Generator.
        level: the shifted level; the measure's own by default.
    """
    level = measure.level if level is None else level
    true = level * (1 + measure.wobble * generator.standard_normal(shape))
    if measure.kind == "amount":
        return true * (1 + measure.spread / np.sqrt(measure.rows) * generator.standard_normal(shape))
    return generator.binomial(measure.rows, np.clip(true, 0, 1)) / measure.rows


def sampling_error_limit(history, measure, alpha=0.001):
    """The limit where only sampling error between window and baseline counts, as in `detect_failures`."""
    before = np.mean(history)
    spread = measure.spread * before if measure.kind == "amount" else np.sqrt(before * (1 - before))
    error = max(spread, 1e-3) * np.sqrt(1 / measure.rows + 1 / (measure.rows * len(history)))
    return before + stats.norm.isf(alpha) * error


def detector_trials(shifts, baseline=26, weeks=200, repeats=100, alpha=0.001, seed=0):
    """False alarms in quiet weeks, and how soon a shift is seen, for three rules.

    The baseline is fixed: the weeks before. The rules: "prediction limit", "cusum" (each as in
    `monitor`) and "sampling error" (`sampling_error_limit`).

    Args:
        shifts: {name of a measure in QUIET: its level from the first week on}.
        baseline: quiet weeks before.
        weeks: quiet weeks that are then watched.
        repeats: how many such services are simulated.
        alpha: of the first and the third rule.
        seed: of the generator.

    Returns:
        {rule: {"false alarms": mean number over all measures in `weeks` quiet weeks,
                "missed in 4 weeks": {name: share of repeats without an alarm in the first four}}}.
    """
    generator = np.random.default_rng(seed)
    rules = {
        "prediction limit": lambda past, values, m: np.flatnonzero(values > upper_limit(past, m.kind, alpha)),
        "cusum": lambda past, values, m: cusum(past, values, m.kind),
        "sampling error": lambda past, values, m: np.flatnonzero(
            values > sampling_error_limit(past, m, alpha)
        ),
    }
    alarms = dict.fromkeys(rules, 0)
    missed = {rule: dict.fromkeys(shifts, 0) for rule in rules}
    for name, measure in QUIET.items():
        quiet = weekly_values(measure, (repeats, baseline + weeks), generator)
        shifted = weekly_values(measure, (repeats, 4), generator, shifts[name]) if name in shifts else None
        for rule, alarm_weeks in rules.items():
            for i, row in enumerate(quiet):
                alarms[rule] += len(alarm_weeks(row[:baseline], row[baseline:], measure))
                if shifted is not None:
                    missed[rule][name] += len(alarm_weeks(row[:baseline], shifted[i], measure)) == 0
    return {
        rule: {
            "false alarms": alarms[rule] / repeats,
            "missed in 4 weeks": {name: count / repeats for name, count in missed[rule].items()},
        }
        for rule in rules
    }


def look_trials(users=500, weeks=12, lift=0.0, repeats=200, tau=0.03, seed=0):
    """An experiment looked at every week: how often each rule decides.

    Sticky users with rates of their own, Beta(3.9, 2.1), voting once a week on average, some far more
    often (a Pareto distribution of activity); `lift` is added to every treated user's rate.

    Args:
        users: in each arm.
        weeks: looks.
        lift: the true difference; 0 for an A/A test, where every decision is a false alarm.
        repeats: simulated experiments.
        tau: of `always_valid_decision`.
        seed: of the generator.

    Returns:
        {"votes, every look": ..., "votes, last look": ..., "users, planned looks": ..., "users, always valid": ...}:
        the share of the experiments in which the rule decided at some look.
    """
    generator = np.random.default_rng(seed)
    rules = ("votes, every look", "votes, last look", "users, planned looks", "users, always valid")
    decided = dict.fromkeys(rules, 0)
    for _ in range(repeats):
        arms = [_arm(users, weeks, extra, generator) for extra in (0.0, lift)]
        z = _z_by_votes(*(arm.sum(axis=0) for arm in arms))
        decided["votes, every look"] += bool((np.abs(z) > Z95).any())
        decided["votes, last look"] += bool(abs(z[-1]) > Z95)
        seen = [(arms[0][:, w], arms[1][:, w]) for w in range(weeks)]
        planned = (planned_looks_decision(*totals, w + 1, weeks) for w, totals in enumerate(seen))
        decided["users, planned looks"] += any(look != "hold" for look in planned)
        valid = (always_valid_decision(*totals, tau) for totals in seen)
        decided["users, always valid"] += any(look != "hold" for look in valid)
    return {rule: count / repeats for rule, count in decided.items()}


def _arm(users, weeks, lift, generator):
    """Running totals of an arm, shape (users, weeks, 2): thumbs-up and votes of each user so far."""
    activity = generator.pareto(1.6, users) + 0.3
    rates = np.clip(generator.beta(3.9, 2.1, users) + lift, 0, 1)
    votes = generator.poisson((activity / activity.mean())[:, None], (users, weeks))
    ups = generator.binomial(votes, rates[:, None])
    return np.stack([ups, votes], axis=-1).cumsum(axis=1)


def _z_by_votes(control, treatment):
    """z of the two-proportion test at each look, from running totals of shape (weeks, 2)."""
    (up_c, n_c), (up_t, n_t) = control.T, treatment.T
    pooled = (up_c + up_t) / (n_c + n_t)
    return (up_t / n_t - up_c / n_c) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_t))
