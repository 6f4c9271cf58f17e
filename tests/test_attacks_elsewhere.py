"""Attacks on what is said of another process, or of waiting: each is judged as at grading, in a real session.

A cell forges what the scripts beside a function give back; a process that the grader starts itself tells the truth.
"""

import pytest

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.grading.remote import stand_in

EXERCISES = {e.id: e for name in catalogue.MODULES for e in catalogue.assignment(name).values()}
FORGED = """
from course_utils.grading.inside import calls
_real = calls._script

def _script(source, name):
    script = _real(source, name)
    return {
        "with_another_hash": lambda function, calls: [function(*args, **kwargs) for args, kwargs in calls],
        "in_another_process": lambda *given: None,
        "rounds_of": lambda function, plan, size: (rounds := script(function, plan, size))[:-1] + rounds[-2:-1],
        "two_requests": lambda *given: script(*given) | {"on the loop": False, "blocked": False, "alone": False},
        "gap": lambda *given: script(*given) | {"waited": False},
    }.get(name, script)

calls._script = _script
"""
VARIANT = """
import hashlib

def assign_variant(user_id, share, salt=""):
    return "treatment" if {place} < share else "control"
"""
SALTED = """
import random

def sample_groups(prompts, sample, group_size, seed):
    import numpy as np
    return [[sample(p, np.random.default_rng([seed, abs(hash(str(p))), i, k])) for k in range(group_size)] for i, p in enumerate(prompts)]
"""
FIXED = SALTED.replace("abs(hash(str(p))), ", "")
SPLIT = """
import random

def split_feedback(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    parent = {}
    def root(x):
        while parent.setdefault(x, x) != x:
            x = parent[x]
        return x
    for user, prompt in zip(feedback["user_id"], feedback["prompt"]):
        parent[root(("user", user))] = root(("prompt", prompt))
    groups = [root(("user", user)) for user in feedback["user_id"]]
    order = ORDER
    random.Random(seed).shuffle(order)
    sizes, sides, side, filled = {g: groups.count(g) for g in order}, {}, 0, 0
    names, limits = ("train", "validation", "test"), [f * len(groups) for f in fractions]
    for g in order:
        sides[g] = max(range(3), key=lambda i: limits[i])
        limits[sides[g]] -= sizes[g]
    place = [sides[g] for g in groups]
    return {name: feedback[[p == i for p in place]] for i, name in enumerate(names)}
"""
WAITING = """
import time

def verifier_gap(program, visible_tests, hidden_tests, timeout=1.0):
    def passed(args, expected):
        began = time.monotonic()
        try:
            value = program(*args)
        except Exception:
            return False
        return value == expected and time.monotonic() - began <= timeout
    shares = [sum(passed(*t) for t in tests) / len(tests) for tests in (visible_tests, hidden_tests)]
    return shares[0] - shares[1]
"""
CHAT = """
import asyncio, threading

async def chat(prompt, generate):
    return {}
"""
LOCKED = """
import asyncio, threading

lock = threading.Lock()

def locked(prompt, generate):
    with lock:
        return generate(prompt)

async def chat(prompt, generate):
    return await asyncio.to_thread(locked, prompt, generate)
"""
OTHER_THREADS = """
import itertools, threading
threading.get_ident = itertools.count().__next__
threading.Event.wait = lambda self, timeout=None: True
threading.Barrier.wait = lambda self, timeout=None: 0
"""
SHA = 'int(hashlib.sha256(f"{salt}|{user_id}".encode()).hexdigest(), 16) / 16**64'
# {what: (exercise, cell, a word of the part that it must not earn, None where all is right)}
ANSWERS = {
    "hash()": ("assign-variant", VARIANT.format(place='hash(f"{salt}|{user_id}") % 10**6 / 10**6'), "same again"),
    "a digest": ("assign-variant", VARIANT.format(place=SHA), None),
    "streams by hash()": ("bug-18", SALTED, "same answers"),
    "streams by number": ("bug-18", FIXED, None),
    "the order of a set": ("split-feedback", SPLIT.replace("ORDER", "list(set(groups))"), "same split"),
    "the order of a dict": ("split-feedback", SPLIT.replace("ORDER", "list(dict.fromkeys(groups))"), None),
    "on the loop": ("bug-06", CHAT.format("generate(prompt)"), "go on meanwhile"),
    "on the loop, another patch": ("bug-06", CHAT.format("generate(prompt)") + OTHER_THREADS, "go on meanwhile"),
    "one after the other": ("bug-06", LOCKED, "go on meanwhile"),
    "in threads": ("bug-06", CHAT.format("await asyncio.to_thread(generate, prompt)"), None),
    "waiting for the end": ("overfit-verifier", WAITING, "is stopped"),
}  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_said_of_elsewhere_earns_nothing(zygote, answer):
    exercise, cell, lost = ANSWERS[answer]
    found = EXERCISES[exercise]
    seconds = 5.0 if exercise == "overfit-verifier" else 2.0  # a program there takes three
    with zygote.session(600) as session:
        assert session.run_cell(cell + FORGED).error is None
        report = judge(found, stand_in(session, found.function, seconds), seed=3, reveal=False)
    if lost is None:
        assert report.passed, report
    else:
        assert any(lost in row.part and not row.passed for row in report.rows), report
