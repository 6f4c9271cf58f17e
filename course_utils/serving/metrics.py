"""What the service counts, in Prometheus' terms, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Seconds; fine where a stub answers, coarse where a model does.
BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 20, 30, 60)
REASONS = {
    400: "invalid", 401: "no token", 403: "not allowed", 404: "unknown", 405: "method", 409: "conflict",
    413: "too large", 415: "invalid", 422: "invalid", 429: "rate", 503: "busy or failing",
}  # fmt: skip


class Metrics:
    """Counters of one app; they begin at 0 when the process starts, as Prometheus expects.

    Attributes:
        chat_seconds: a histogram by variant, from a prompt's arrival to the stored answer.
        votes: a counter by variant and vote; a vote that repeats itself is counted once.
        share: a gauge, the treatment's share of the users.
        seen: a counter of requests by path and status.
        refused: a counter of refused requests by reason.
        guardrails: a counter of guardrails that the treatment broke, by name.
    """

    def __init__(self):
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self.seen = Counter("service_requests", "Requests answered.", ["path", "status"], **own)
        self.refused = Counter("service_refused", "Requests refused.", ["reason"], **own)
        self.chat_seconds = Histogram(
            "service_chat_seconds",
            "Arrival of a prompt to its stored answer.",
            ["variant"],
            buckets=BUCKETS,
            **own,
        )
        self.votes = Counter("service_votes", "Votes stored.", ["variant", "vote"], **own)
        self.guardrails = Counter(
            "service_guardrails_broken", "Roll-backs by a guardrail.", ["guardrail"], **own
        )
        self.share = Gauge("service_treatment_share", "Share of the users who get the treatment.", **own)
        self._queue = Gauge("service_queue_length", "Items that wait.", ["queue"], **own)

    def watch_queue(self, name, batcher):
        """Report the length of a batcher's queue whenever the metrics are read."""
        self._queue.labels(name).set_function(lambda: len(batcher))

    def text(self):
        """All metrics in Prometheus' text format, as bytes."""
        return generate_latest(self.registry)


class CountRequests:
    """ASGI middleware: counts each answered request by path and status, and the refused ones by reason.

    Paths other than `paths` are counted as "other", so that strangers cannot make labels.
    """

    def __init__(self, app, metrics, paths):
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"] if scope["path"] in self._paths else "other"

        async def counted(message):
            if message["type"] == "http.response.start":
                status = message["status"]
                self._metrics.seen.labels(path, status).inc()
                if status >= 400:
                    self._metrics.refused.labels(REASONS.get(status, "error")).inc()
            await send(message)

        return await self._app(scope, receive, counted)
