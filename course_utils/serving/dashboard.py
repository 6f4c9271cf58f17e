"""One picture of the running service, from what it counts (/metrics) and what it stores."""

from prometheus_client.parser import text_string_to_metric_families

from course_utils import plots
from course_utils.serving.monitor import p95
from course_utils.serving.store import Vote

VARIANTS = ("control", "treatment")
HATCHES = ("", "//")
UNITS = ((1, "second"), (60, "minute"), (3600, "hour"), (86_400, "day"))
MOST_INTERVALS = 120  # before the next unit is taken


def read_metrics(text):
    """The service's /metrics as plain numbers.

    Args:
        text: the body of GET /metrics.

    Returns:
        A dict: "requests" {(path, status): count}, "refused" {reason: count}, "votes" {(variant, vote):
        count}, "queues" {queue: length}, "share" of the treatment, "latency" {variant: {"p50", "p95" in
        seconds, "count"}} from the histogram's buckets. Counts are those of one process since it started.
    """
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def counts(name, *labels):
        keys = [(tuple(s.labels[label] for label in labels), s.value) for s in samples if s.name == name]
        return {key if len(key) > 1 else key[0]: value for key, value in keys}

    buckets = {}
    for (variant, most), value in counts("service_chat_seconds_bucket", "variant", "le").items():
        buckets.setdefault(variant, []).append((float(most), value))
    return {
        "requests": counts("service_requests_total", "path", "status"),
        "refused": counts("service_refused_total", "reason"),
        "votes": counts("service_votes_total", "variant", "vote"),
        "queues": counts("service_queue_length", "queue"),
        "share": next((s.value for s in samples if s.name == "service_treatment_share"), 0.0),
        "latency": {
            variant: {"p50": quantile(pairs, 0.5), "p95": quantile(pairs, 0.95), "count": max(pairs)[1]}
            for variant, pairs in buckets.items()
        },
    }


def quantile(buckets, level):
    """A quantile from a histogram's cumulative buckets, linear inside a bucket, as Prometheus computes it.

    Args:
        buckets: (upper bound, observations up to it), the last bound infinite.
        level: 0 to 1.

    Returns:
        Seconds; the largest finite bound where the quantile lies above it; nan without observations.
    """
    buckets = sorted(buckets)
    wanted, low, below = level * buckets[-1][1], 0.0, 0.0
    if buckets[-1][1] == 0:
        return float("nan")
    for bound, count in buckets:
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def dashboard(metrics_text, store):
    """Traffic, latency and votes in one figure.

    Left: answers over time by variant, from the store, so of all replicas and across restarts; they are counted by
    the second, minute, hour or day, whatever the time since the first answer needs. Middle: p50
    and p95 by variant, stored (arrival to finished response) beside counted (arrival to stored answer, this
    process, from the histogram). Right: votes by variant and kind, from the store.

    Args:
        metrics_text: the body of GET /metrics.
        store: a `Store` with at least one answer.

    Returns:
        (figure, text): the figure for `plots.show`, and a sentence with its numbers.

    Raises:
        ValueError: the store holds no answer.
    """
    requests, counted, frame = store.requests_frame(), read_metrics(metrics_text), store.feedback_frame()
    if requests.empty:
        raise ValueError("store holds no answer yet")
    seen = [variant for variant in VARIANTS if (requests["variant"] == variant).any()]
    fig, (traffic, latency, votes) = plots.figure(columns=3, size=(12.6, 3.6))
    parts = []
    for i, variant in enumerate(seen):
        mine = requests[requests["variant"] == variant]
        stored = [mine["latency"].median(), p95(mine["latency"].tolist())]
        here = counted["latency"].get(variant, {"p50": float("nan"), "p95": float("nan")})
        values = [1000 * v for v in (*stored, here["p50"], here["p95"])]
        side = (i - (len(seen) - 1) / 2) * 0.4
        names = ("p50\nstored", "p95\nstored", "p50\ncounted", "p95\ncounted")
        style = {"label": variant, "colour": plots.COLOURS[i], "hatch": HATCHES[i]}
        plots.bars(latency, names, values, offset=side, width=0.36, **style)
        cast = frame.loc[frame["variant"] == variant, "feedback"]
        tally = [int((cast == vote).sum()) for vote in Vote]
        drawn = plots.bars(votes, ("thumbs up", "thumbs down"), tally, offset=side, width=0.36, **style)
        votes.bar_label(drawn)
        rate = f"{tally[0] / sum(tally):.1%} of {sum(tally)} votes up" if sum(tally) else "no votes"
        parts.append(f"{variant}: {len(mine)} answers, p95 {1000 * stored[1]:.0f} ms, {rate}")
    _traffic(traffic, requests, seen)
    latency.set(ylabel="latency (ms)")
    votes.set(ylabel="votes")
    for axis in (latency, votes):
        axis.set_ylim(0, 1.3 * max(axis.get_ylim()[1], 1))  # room for the legend
    for axis in (traffic, latency, votes):
        axis.legend()
    refused = sum(counted["refused"].values())
    return fig, "; ".join(parts) + f"; {refused:.0f} requests refused by this process"


def _traffic(axis, requests, seen):
    """Answers a second, minute, hour or day, one line a variant over the same time: one that ceased falls to 0."""
    seconds = (requests["time"] - requests["time"].iloc[0]).dt.total_seconds()
    width, unit = next((u for u in UNITS if seconds.max() < MOST_INTERVALS * u[0]), UNITS[-1])
    last = max(int(seconds.max() // width), 1)  # the interval after it is not over: it would look like a fall
    for i, variant in enumerate(seen):
        counts = (seconds[requests["variant"] == variant] // width).value_counts()
        counts = counts.reindex(range(last), fill_value=0)
        axis.plot(counts.index + 0.5, counts, marker="os"[i], label=variant)
    axis.set(
        xlabel=f"{unit}s since the first answer",
        ylabel=f"answers {'an' if unit == 'hour' else 'a'} {unit}",
        ylim=(0, None),
    )
    axis.locator_params(axis="x", nbins=5)
