"""What is watched while the service runs: a simple rule of one look, better detectors, latency."""

import math

import numpy as np
from scipy import stats

LIMIT = 4.0  # standard errors
LEAST_SPREAD = (
    0.001  # of any measure, so that a baseline without a single event does not make every event an alarm
)


def detect_failures(window, baseline):
    """The failures seen in a window of feedback: measures that rose by over 4 standard errors.

    For each measure the window's mean is held against the baseline's, in standard errors
    s sqrt(1/n_window + 1/n_baseline), s the baseline's standard deviation (n - 1), at least 0.001. The
    rows count as independent draws: what differs between quiet weeks is not in the standard error, so a
    rule like this alarms too often on a large service. See `prediction_limit`.

    Args:
        window, baseline: DataFrames of feedback with `response`, `feedback` and `content_warning`; any
            index; at least one row, the baseline at least two.

    Returns:
        Those that hold, in this order: "length_explosion" (characters of the response), "repetition"
        (`repetition`), "safety_spike" (share of content warnings), "feedback_drop" (share of thumbs-down).

    Raises:
        ValueError: `window` or `baseline` has too few rows or lacks a column.
    """
    now, before = _measures("window", window, 1), _measures("baseline", baseline, 2)
    return [name for name in now if _standard_errors(now[name], before[name]) > LIMIT]


def repetition(response):
    """1 - distinct over all word bigrams of a text, words parted by white space; 0.0 below two words."""
    words = response.split()
    bigrams = list(zip(words, words[1:], strict=False))
    return 1 - len(set(bigrams)) / len(bigrams) if bigrams else 0.0


def p95(latencies):
    """The 95th percentile, with linear interpolation between the two values beside it.

    Args:
        latencies: a list, tuple, array or 1-D tensor of numbers, in any order, at least one.

    Returns:
        A Python float.

    Raises:
        ValueError: `latencies` is empty or not one-dimensional.
    """
    values = _numbers("latencies", latencies, 1)
    return float(np.percentile(values, 95))


def prediction_limit(history, value, kind, alpha=0.001):
    """Is this week's value above what a quiet week would show? A Student t prediction limit.

    The weeks' own spread is the yardstick, so that what always wobbles does not alarm. A value above
    mean + t sd sqrt(1 + 1/b) of the b earlier weeks alarms, t with b - 1 degrees of freedom, on a
    scale where the spread is steady: the logarithm of an amount, the arcsine of a share's root.

    Args:
        history: the measure in earlier, quiet weeks, at least 3 (26 are a good baseline; 12 a poor one).
        value: the measure in this week.
        kind: "amount" (positive numbers, such as a mean length) or "share" (0 to 1).
        alpha: the chance of an alarm in a quiet week.

    Returns:
        (alarm, limit): a bool, and the limit in the units of the measure.

    Raises:
        ValueError: `history` is too short; `kind` is another word; a number is out of its kind's range;
            `alpha` is not between 0 and 1.
    """
    limit = upper_limit(history, kind, alpha)
    _steady("value", value, kind)  # refuses what is out of range
    return bool(value > limit), limit


def upper_limit(history, kind, alpha=0.001):
    """The limit of `prediction_limit`, in the units of the measure; arguments and errors as there."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    past = _steady("history", _numbers("history", history, 3), kind)
    b = len(past)
    limit = past.mean() + stats.t.isf(alpha, b - 1) * past.std(ddof=1) * math.sqrt(1 + 1 / b)
    return float(np.exp(limit) if kind == "amount" else np.sin(min(limit, math.pi / 2)) ** 2)


def cusum(history, values, kind, k=0.5, h=5.0):
    """Small rises that last: the cumulative sum of what lies over k standard deviations (Page 1954).

    S_t = max(0, S_{t-1} + z_t - k), z_t the value in standard deviations of the history, on the scale
    of `prediction_limit`. Alarm where S_t > h; the sum then starts again at 0.

    Args:
        history: the measure in earlier, quiet weeks, at least 3.
        values: the measure in the weeks since, in order.
        kind: "amount" or "share".
        k, h: the slack and the limit, in standard deviations.

    Returns:
        The positions in `values` at which it alarms, a list of ints.

    Raises:
        ValueError: as `prediction_limit`; `history` has no spread.
    """
    past = _steady("history", _numbers("history", history, 3), kind)
    spread = past.std(ddof=1)
    if spread == 0:
        raise ValueError("history has no spread: all its values are equal")
    alarms, total = [], 0.0
    for week, value in enumerate(
        (_steady("values", _numbers("values", values, 1), kind) - past.mean()) / spread
    ):
        total = max(0.0, total + value - k)
        if total > h:
            alarms.append(week)
            total = 0.0
    return alarms


def _measures(name, frame, least):
    """{failure: an array with one number a row}."""
    for column in ("response", "feedback", "content_warning"):
        if column not in frame.columns:
            raise ValueError(f"{name} lacks the column {column}")
    if len(frame) < least:
        raise ValueError(f"{name} has {len(frame)} rows where at least {least} are wanted")
    texts = frame["response"].tolist()
    return {
        "length_explosion": np.array([len(text) for text in texts], dtype=float),
        "repetition": np.array([repetition(text) for text in texts]),
        "safety_spike": frame["content_warning"].to_numpy(dtype=float),
        "feedback_drop": (frame["feedback"] == "thumbs_down").to_numpy(dtype=float),
    }


def _standard_errors(now, before):
    spread = max(before.std(ddof=1), LEAST_SPREAD)
    return (now.mean() - before.mean()) / (spread * math.sqrt(1 / len(now) + 1 / len(before)))


def _steady(name, values, kind):
    """The values on a scale where their spread does not depend on their size."""
    values = np.asarray(values, dtype=float)
    if kind == "amount":
        if not (values > 0).all():
            raise ValueError(f"{name} must be positive for an amount")
        return np.log(values)
    if kind == "share":
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} must be from 0 to 1 for a share")
        return np.arcsin(np.sqrt(values))
    raise ValueError(f'kind must be "amount" or "share", not {kind!r}')


def _numbers(name, values, least):
    values = values.detach().cpu() if hasattr(values, "detach") else values
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"{name} must be a list of at least {least} numbers, not of shape {array.shape}")
    return array
