"""Clients of the service for tests: they ask and vote without pause, and remember what was acknowledged."""

import random
import threading

import httpx

from course_utils.serving.store import now

TOKEN, ADMIN_TOKEN, OTHER_TOKEN = "token of the tests", "token of the admin", "token of another client"
TOKENS = {TOKEN: "tests", ADMIN_TOKEN: "admin", OTHER_TOKEN: "another"}
USERS = [f"user {i}" for i in range(40)]


def client(url, token=TOKEN, **settings):
    """An httpx client with a token."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, **settings)


def ask(http, user="someone", prompt="hello"):
    """The id of an answer."""
    answer = http.post("/chat", json={"user_id": user, "prompt": prompt})
    assert answer.status_code == 200, answer.text
    return answer.json()["request_id"]


def row(key, **changes):
    """An answer to store."""
    usual = {
        "id": key, "time": now(), "client": "tests", "user_hash": "u", "prompt": "p", "response": "r",
        "model_version": "m1", "variant": "control", "salt": "x", "content_warning": False, "latency": 0.1,
    }  # fmt: skip
    return usual | changes


class Voters:
    """Threads that ask and vote at one address until it dies or they are told to stop.

    Attributes:
        handed_out: ids of answers received.
        acknowledged: {id: vote} of the votes that were answered with 200.
        refused: answers with another status than 200.
        broken: how many threads lost their connection.
    """

    def __init__(self, url, threads=6):
        self.handed_out, self.acknowledged, self.refused, self.broken = [], {}, [], 0
        self._url, self._stop, self._lock = url, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(seed,)) for seed in range(threads)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, votes, seconds=30):
        """Return once so many votes were acknowledged."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.01)):
            if len(self.acknowledged) >= votes:
                return
            pause.wait(0.01)
        raise AssertionError(f"{len(self.acknowledged)} votes in {seconds} s; refused: {self.refused[:3]}")

    def stop(self):
        """Stop and wait for the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, seed):
        rng = random.Random(seed)
        with client(self._url) as http:
            while not self._stop.is_set():
                try:
                    answer = http.post("/chat", json={"user_id": rng.choice(USERS), "prompt": "hello"})
                    if answer.status_code != 200:
                        self.refused.append(answer.text)
                        continue
                    key, vote = answer.json()["request_id"], rng.choice(["thumbs_up", "thumbs_down"])
                    self.handed_out.append(key)
                    answer = http.post("/feedback", json={"request_id": key, "vote": vote})
                    if answer.status_code == 200:
                        self.acknowledged[key] = vote
                    else:
                        self.refused.append(answer.text)
                except httpx.HTTPError:
                    with self._lock:
                        self.broken += 1
                    return
