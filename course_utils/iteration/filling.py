"""A service's store filled from a simulated log, so that reports and retraining can be tried without a year of service."""

import hashlib

import numpy as np
import sqlalchemy as sa

from course_utils.serving.routing import assign_variant
from course_utils.serving.store import Feedback, Request


def fill_store(store, votes, unrated=3, share=0.0, salt="", seed=0, latency=0.2):
    """Put a log into a store as if the service had run: every vote on an answer, and answers that nobody rated.

    Args:
        store: a `Store` without these answers.
        votes: a log, as `simulate_feedback` gives it; missing responses become empty, warnings are taken over.
        unrated: answers without a vote for each vote, on average (Poisson); texts and warnings are those of random rows, times lie near the vote's.
        share, salt: of the treatment, by `assign_variant`.
        seed: of what is drawn.
        latency: the median in seconds; lognormal.
    """
    rng, count = np.random.default_rng(seed), len(votes)
    rows, ballots = [], []
    warnings = votes["content_warning"] if "content_warning" in votes else np.zeros(count, dtype=bool)
    texts = votes["response"].fillna("").tolist()
    more = rng.poisson(unrated, count)
    delays = latency * np.exp(0.5 * rng.standard_normal((count, 1 + more.max())))
    others = rng.integers(count, size=(count, 1 + more.max()))
    warned = np.asarray(warnings, dtype=bool)
    columns = zip(votes["conversation_id"], votes["user_id"], votes["prompt"], votes["feedback"], strict=True)
    for i, ((conversation, user, prompt, verdict), time) in enumerate(
        zip(columns, votes["timestamp"].dt.to_pydatetime(), strict=True)
    ):
        variant = assign_variant(user, share, salt)
        for j in range(1 + more[i]):
            k = i if j == 0 else int(others[i, j])
            key = hashlib.sha256(f"{seed}:{conversation}:{i}:{j}".encode()).hexdigest()[:32]
            rows.append(
                {
                    "id": key, "time": time, "client": "simulated", "user_hash": user, "prompt": prompt,
                    "response": texts[k], "model_version": variant, "variant": variant, "salt": salt,
                    "content_warning": bool(warned[k]), "latency": float(delays[i, j]),
                }
            )  # fmt: skip
        ballots.append({"request_id": rows[-1 - more[i]]["id"], "vote": verdict, "time": time})
    with store.engine.begin() as connection:
        for start in range(0, len(rows), 5000):
            connection.execute(sa.insert(Request), rows[start : start + 5000])
        for start in range(0, len(ballots), 5000):
            connection.execute(sa.insert(Feedback), ballots[start : start + 5000])
