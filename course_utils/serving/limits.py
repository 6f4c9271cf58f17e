"""What keeps one client from harming the others: tokens, rates, sizes."""

import hashlib
import math
import time
from dataclasses import dataclass

from course_utils.words import type_of

ADMIN = "admin"  # the client that may ramp and roll back
PROMPT_CHARACTERS = 4000
CLIENT_CHARACTERS = 64  # of a name


@dataclass(frozen=True)
class Limits:
    """The service's limits, each for one process.

    Attributes:
        rate, burst: requests a second that a client may make in the long run, and at once.
        body_bytes: the largest body of a request.
        queue: the most prompts that wait for an engine; also the most votes that wait for the store, times 8. More
            than an engine answers within `timeout` wait in vain: for a slow model, set it lower.
        max_batch, batch_wait: prompts that an engine answers together, and seconds that a prompt waits for others.
        timeout: seconds after which a client is told to try again.
        refresh: seconds between two looks at how far other replicas have taken the roll-out.
    """

    rate: float = 50.0
    burst: float = 100.0
    body_bytes: int = 65_536
    queue: int = 256
    max_batch: int = 8
    batch_wait: float = 0.005
    timeout: float = 60.0
    refresh: float = 1.0

    def __post_init__(self):
        for name in ("rate", "timeout", "refresh"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("burst", "body_bytes", "queue", "max_batch"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.batch_wait >= 0:
            raise ValueError(f"batch_wait must not be negative, not {self.batch_wait}")


class TokenBucket:
    """`burst` requests at once, then `rate` a second.

    Args:
        rate, burst: positive.
        clock: a function that gives seconds, for tests.
    """

    def __init__(self, rate, burst, clock=time.monotonic):
        if not (rate > 0 and burst >= 1):
            raise ValueError("rate must be positive and burst at least 1")
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._then = burst, clock()

    def take(self):
        """0 where a request may pass, which is then counted; else whole seconds until one may."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left >= 1:
            self._left -= 1
            return 0
        return math.ceil((1 - self._left) / self._rate)


class Clients:
    """Who a token belongs to, and each client's bucket.

    Args:
        tokens: {token: client's name}; a client named "admin" may change the roll-out. Several
            tokens may belong to one client, and share its bucket.
        limits: for the rate.

    Raises:
        ValueError: `tokens` is no dict of texts or is empty, a token is shorter than 16 characters, or a name is
            empty or longer than the store holds.
    """

    def __init__(self, tokens, limits):
        if not tokens:
            raise ValueError("tokens: the service needs at least one client")
        if not isinstance(tokens, dict):
            raise ValueError(f"tokens must be a dict from token to client's name, not {type_of(tokens)}")
        for name in tokens.values():  # never the token itself in a message
            if not isinstance(name, str) or not 0 < len(name) <= CLIENT_CHARACTERS or "\0" in name:
                raise ValueError(
                    f"tokens: a client's name is a text of 1 to {CLIENT_CHARACTERS} characters, not {name!r}"
                )
        if any(len(token) < 16 for token in tokens):
            raise ValueError("tokens: a token needs at least 16 characters")
        # looked up by digest, so that the time a look-up takes says nothing about a token
        self._names = {_digest(token): name for token, name in tokens.items()}
        self._buckets = {name: TokenBucket(limits.rate, limits.burst) for name in tokens.values()}

    def name(self, token):
        """The client's name, or None for a token that nobody has."""
        return self._names.get(_digest(token))

    def wait(self, name):
        """Seconds that this client must wait; 0 if its request may pass."""
        return self._buckets[name].take()


def _digest(token):
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
