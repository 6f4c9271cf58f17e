"""05-goodhart: the gap between the tests that a program was rewarded for and others."""

import copy
import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from course_utils.checks.beside import beside, ours
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import changed_inputs, describe_error, detached, dtypes, quietly
from course_utils.checks.scripts.programs import gap
from course_utils.goodhart import verifier_gap

# --- overfit-verifier: programs ---------------------------------------------------------------


@dataclass(frozen=True)
class _Program:
    """A program as source text, with the names that it uses, so that every answer gets a new one."""

    source: str
    names: tuple = ()


_TABLE = "def program(x):\n    return table.get(x, 0)"
_PLUS = "def program(x):\n    return x + k"
_SUM = "def program(x, y):\n    return x + y"
_SIZE = "def program(items):\n    print(items)\n    return len(items)"
_SAME = "def program(x):\n    return x"
_KEY = "def program(x):\n    return table[x]"
_MANY = """
def program(x):
    if x == 1:
        raise ValueError("no")
    if x == 2:
        assert x == 3
    if x == 3:
        return None + x
    if x == 4:
        class Odd(Exception):
            pass
        raise Odd
    return None if x < 0 else 10 * x
"""
_SLOW = """
def program(x):
    if x in slow:
        wait(seconds)
    else:
        go_on()
    if x < 0:
        raise ValueError(x)
    return 10 * x
"""
_ENDLESS = """
def program(x):
    while x in slow:
        pass
    return 10 * x
"""
# a program that runs too long, and the limit: far apart, for a machine may be busy
_LONG, _LIMIT, _SHORT = 3.0, 0.8, 0.3
# a program that would end within a whole second, and a limit of a fraction of one
_BRIEF, _TIGHT = 0.9, 0.2
# a program that takes longer than the default of 1 s, and a limit that allows it
_LEISURELY, _AMPLE = 1.5, 5.0


_WAITED = "your function waited for the end of a program that takes too long; were it to loop for ever, so would this"
# A call that takes so much longer than its programs (in seconds) may have failed a test by a busy machine.
_SLACK, _ATTEMPTS = 0.4, 3


def _observe_gap(function, case):
    """The gap, and where a program runs too long whether the answer waited for its end.

    What the reference finds is known without waiting (a test holds the two equal): it halves the time of a check.
    A busy machine may fail a program that is fast enough: then the answer is asked again.
    """
    if function is verifier_gap:
        return _observe_once(_gap_of(), case)[0]
    right = _observe_once(_gap_of(), case)[0]
    for _ in range(_ATTEMPTS):
        seen, seconds = _observe_once(function, case)
        alike = isinstance(seen.get("result"), float) and seen == right
        limit = case.args[3] if case.extra else 0
        waited = seen.get("stopped") != right.get("stopped")
        if alike or "error" in seen or (waited and limit != _TIGHT) or seconds < limit + _SLACK:
            break
    # whether it waited was noticed beside the function, by what can be forged there: no program that never ends can
    if (
        seen == right
        and case.extra == "endless too"
        and not ours(function)
        and not _outlives_the_endless(function)
    ):
        seen["stopped"] = Missing(_WAITED)
    return seen


def _outlives_the_endless(function):
    """Whether a function that is elsewhere, in a process of its own, comes back from a program that never ends."""
    endless = _ENDLESS, {"slow": {1}}, _tests(lambda x: 10 * x, 2, 1), _tests(lambda x: 10 * x, 3), [_SHORT]
    for _ in range(_ATTEMPTS):
        try:
            with function.apart() as (inside, _):
                found = beside(inside, gap, *endless, False)
        except Exception:  # no answer, and the end of that process
            return False
        if found["result"] == -0.5:
            return True
    return False  # a busy machine may fail a program that is fast enough, but hardly each time


def _observe_once(function, case):
    """The observation, and how many seconds it took."""
    program, *tests, timeout = *case.args, *(() if len(case.args) > 3 else (None,))
    timeout = [] if timeout is None else [timeout]
    given = copy.deepcopy(tests)
    began = time.perf_counter()
    try:
        found = quietly(
            beside,
            function,
            gap,
            program.source,
            dict(program.names),
            *given,
            timeout,
            ours(function),
            **case.kwargs,
        )
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        found = {"error": describe_error(error)}
    seconds = time.perf_counter() - began
    if "error" in found:
        return {"error": found["error"]}, seconds
    seen = {"result": detached(found["result"]), "dtype": dtypes(found["result"])}
    seen["inputs"] = changed_inputs(((None, *tests), {}), ((None, *found["tests"]), {}))
    if case.extra:
        seen["stopped"] = Missing(_WAITED) if found["waited"] else "stopped in time"
    return seen, seconds


def _tests(function, *inputs):
    return [((x,), function(x)) for x in inputs]


def _share_cases(draw):
    a, b, c, d, e, f = (10 * i + draw.integer(1, 9) for i in range(6))
    k = draw.integer(2, 9)
    table = _Program(_TABLE, (("table", {a: a + k, b: b + k}),))
    right = _tests(lambda x: x + k, a, b, c, d, e, f)
    wrong = _tests(lambda x: x + k + 1, a, b)
    plus = _Program(_PLUS, (("k", k),))
    return [
        Case((table, right[:2], right[2:5]), label="a program that special-cases the visible tests"),
        Case((table, right[:3], right[1:]), label="the same, three visible and five hidden tests"),
        Case((plus, right[:2], right[2:]), label="an honest program"),
        Case((plus, wrong + right[2:3], right[3:]), label="two wrong visible tests"),
        Case(
            (plus, right[:1] + wrong, wrong[:1] + right[1:3] + wrong[1:]), label="wrong tests on both sides"
        ),
        Case((plus, right[:4], right[4:] + wrong[:1]), label="a wrong hidden test"),
        Case((plus, wrong, right), label="all visible tests failed, all hidden ones passed"),
        Case((_Program(_SUM), [((a, b), a + b), ((c, d), c - d)], [((e, f), e + f)]), label="two arguments"),
    ]


def _equality_cases(draw):
    big = draw.integer(10_000, 90_000)
    same = _Program(_SAME)
    falsy = [((x,), x) for x in (0, "", None, False)] + [(([],), [])]
    return [
        Case((_Program(_SIZE), [(([1, 2, 3],), 3), (((4, 5),), 2)], [(("abcd",), 4), (([],), 1)]),
             label="one argument that is a list, a tuple or a text; it prints"),
        Case((same, falsy, [((0,), ""), (("x",), "x"), ((None,), 0)]), label="0, empty texts, lists and None"),
        Case((same, [((1,), True), ((2,), 2.0), (("3",), 3)], [(("a b",), "".join(["a", " b"])), ((big,), big + 1 - 1)]),
             label="values that are equal without being the same object"),
        Case((same, [((0.1 + 0.2,), 0.3), ((0.5,), 0.5)], [((1e-9,), 0.0), ((2.5,), 2.5), ((1 / 3,), 1 / 3)]),
             label="floats that are nearly equal"),
        Case((same, [(([1, [2]],), [1, [2]]), (({"a": 1},), {"a": 1})], [(((1, 2),), [1, 2]), ((1.5,), 1.5)]),
             label="lists, dicts and tuples"),
        Case((_Program("def program():\n    return 7"), [((), 7)], [((), 8), ((), 7)]), label="no arguments"),
    ]  # fmt: skip


def _raising_cases(draw):
    a, b = draw.integer(5, 20), draw.integer(21, 40)
    known = _Program(_KEY, (("table", {a: 1, b: 2}),))
    many = _Program(_MANY)
    return [
        Case((known, [((a,), 1), ((b,), 2)], [((a,), 1), ((0,), 1), ((b,), 2), ((3,), 2)]), label="a program that raises KeyError"),
        Case((known, [((-1,), None), ((a,), 1), ((-2,), 0)], [((b,), 2)]), label="the same on visible tests, None wanted"),
        Case((many, _tests(lambda x: 10 * x, 5, 1, 6, 2, 7), _tests(lambda x: 10 * x, 3, 8, 4, 1, 9, 2, 5)),
             label="a program that raises in four ways"),
        Case((many, [((1,), None), ((-a,), None), ((2,), None)], [((3,), 30), ((4,), 40)]), label="None wanted and returned"),
    ]  # fmt: skip


def _slow_cases(draw):
    a, b, c = (10 * i + draw.integer(1, 9) for i in range(3))
    slow = _Program(_SLOW, (("slow", {a}), ("seconds", _LONG)))
    ten = _tests(lambda x: 10 * x, b, a, c, -1)
    brief = _Program(_SLOW, (("slow", {a}), ("seconds", _BRIEF)))
    long, limit = f"{_LONG} s on one input", f"timeout {_LIMIT} s"
    return [
        # no test that is passed within the limit: a busy machine cannot spoil one
        Case((brief, ten[1:2], [((b,), 0)], _TIGHT), label=f"{_BRIEF} s, timeout {_TIGHT} s", extra=True),
        Case((slow, ten, [*ten[2:], ((b,), 10 * b)], _LIMIT), label=f"{long} among the visible tests, {limit}", extra=True),
        Case((slow, [((c,), 10 * c), ((b,), 0)], [ten[1], ten[0], ten[2]], _LIMIT),
             label=f"{long}, the first hidden test, {limit}", extra="endless too"),
    ]  # fmt: skip


def _patient_cases(draw):
    a = draw.integer(1, 9)
    slow = _Program(_SLOW, (("slow", {a}), ("seconds", _SHORT)))
    slower = _Program(_SLOW, (("slow", {a}), ("seconds", _LEISURELY)))
    tests = _tests(lambda x: 10 * x, a, 11)
    return [
        Case((slow, tests, [((12,), 0)]), label=f"{_SHORT} s on one input, no timeout given"),
        Case(
            (slower, tests, [((12,), 0)], _AMPLE), label=f"{_LEISURELY} s on one input, timeout {_AMPLE:g} s"
        ),
    ]


# --- overfit-verifier: answers ----------------------------------------------------------------


def _passed(value, error, seconds, expected, timeout):
    return error is None and seconds <= timeout and value == expected


def _pretend_to_wait(program):
    """A wrong answer of ours waited for the end, without keeping anybody waiting."""
    program.pretend_to_wait()


def _gap_of(
    passes=_passed,
    combine=lambda v, h: sum(v) / len(v) - sum(h) / len(h),
    call=lambda program, args: program.after(*args),
    waits=False,
):
    """The right answer with one thing changed; it runs programs without their waiting.

    A `passes` that gives None leaves the test out of the count.
    """

    def answer(program, visible_tests, hidden_tests, timeout=1.0):
        sides = []
        for tests in (visible_tests, hidden_tests):
            outcomes = []
            for args, expected in tests:
                value, error, took = call(program, args)
                if waits and took > timeout:
                    _pretend_to_wait(program)
                outcomes.append(passes(value, error, took, expected, timeout))
            sides.append([float(o) for o in outcomes if o is not None])
        return combine(*sides)

    return answer


def _combined(combine):
    return _gap_of(combine=combine)


def _mean(values):
    return sum(values) / len(values) if values else 0.0


def _equal(same):
    """Another equality than ==."""
    return _gap_of(
        lambda value, error, took, expected, timeout: (
            error is None and took <= timeout and same(value, expected)
        )
    )


def _near(value, expected):
    return abs(value - expected) < 1e-6 if isinstance(value, float) else value == expected


def _in_whole_seconds(program, visible_tests, hidden_tests, timeout=1.0):
    def call(program, args):
        value, error, took = program.after(*args)
        if timeout < took <= math.ceil(timeout):
            _pretend_to_wait(program)
        return value, error, took

    return _gap_of(call=call)(program, visible_tests, hidden_tests, math.ceil(timeout))


def _until_the_first_failure(program, visible_tests, hidden_tests, timeout=1.0):
    def share(tests):
        outcomes = [_passed(*program.after(*args), expected, timeout) for args, expected in tests]
        return outcomes.index(False) / len(tests) if False in outcomes else 1.0

    return share(visible_tests) - share(hidden_tests)


def _raising(error_of):
    """An answer that lets an exception out where error_of(error, took, timeout) is one."""

    def passes(value, error, took, expected, timeout):
        if found := error_of(error, took, timeout):
            raise found
        return _passed(value, error, took, expected, timeout)

    return passes


def _cut_short(ends, keep=True):
    """An answer that ends a list of tests where ends(error, took, timeout); the rest fail, or are left out."""

    def answer(program, visible_tests, hidden_tests, timeout=1.0):
        shares = []
        for tests in (visible_tests, hidden_tests):
            outcomes = []
            for args, expected in tests:
                value, error, took = program.after(*args)
                if ends(error, took, timeout):
                    outcomes.append(False)
                    break
                outcomes.append(_passed(value, error, took, expected, timeout))
            shares.append(sum(outcomes) / (len(tests) if keep else len(outcomes)))
        return shares[0] - shares[1]

    return answer


def _one_budget(program, visible_tests, hidden_tests, timeout=1.0):
    """One clock for all tests together."""
    left, shares = timeout, []
    for tests in (visible_tests, hidden_tests):
        outcomes = []
        for args, expected in tests:
            value, error, took = program.after(*args)
            left -= took
            outcomes.append(error is None and left >= 0 and value == expected)
        shares.append(sum(outcomes) / len(outcomes))
    return shares[0] - shares[1]


def _stale(program, visible_tests, hidden_tests, timeout=1.0):
    """The value of the test before stands in where a program raises or is stopped."""
    value, shares = None, []
    for tests in (visible_tests, hidden_tests):
        outcomes = []
        for args, expected in tests:
            new, error, took = program.after(*args)
            value = new if error is None and took <= timeout else value
            outcomes.append(value == expected)
        shares.append(sum(outcomes) / len(outcomes))
    return shares[0] - shares[1]


def _unpacked_twice(program, args):
    return (
        program.after(*args[0]) if args and isinstance(args[0], (list, tuple, str)) else program.after(*args)
    )


def _tests_used_up(program, visible_tests, hidden_tests, timeout=1.0):
    right = _gap_of()(program, visible_tests, hidden_tests, timeout)
    visible_tests.pop()
    return right


def _first_argument(program, args):
    return program.after(*args[:1])


def _by_fork(program, visible_tests, hidden_tests, timeout=1.0):
    import multiprocessing

    context = multiprocessing.get_context("fork")

    def work(args, expected, pipe):
        try:
            pipe.send(bool(program(*args) == expected))
        except BaseException:
            pipe.send(False)

    def passes(args, expected):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(args, expected, there))
        process.start()
        passed = here.poll(timeout) and here.recv()
        process.kill()
        process.join()
        return passed

    shares = [np.mean([passes(*test) for test in tests]) for tests in (visible_tests, hidden_tests)]
    return float(shares[0] - shares[1])


class _TimeUp(BaseException):
    """Raised by the timer."""


def _by_signal(program, visible_tests, hidden_tests, timeout=1.0):
    import signal

    def ring(number, frame):
        raise _TimeUp

    def passes(args, expected):
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            return program(*args) == expected
        except (Exception, _TimeUp):
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def rate(tests):
        return sum(bool(passes(*test)) for test in tests) / len(tests)

    return rate(visible_tests) - rate(hidden_tests)


def _by_thread(program, visible_tests, hidden_tests, timeout=1.0):
    import queue
    import threading

    def passes(args, expected):
        results = queue.Queue()

        def work():
            try:
                results.put(program(*args) == expected)
            except Exception:
                results.put(False)

        threading.Thread(target=work, daemon=True).start()
        try:
            return 1 if results.get(timeout=timeout) else 0
        except queue.Empty:
            return 0

    visible, hidden = ([passes(a, e) for a, e in tests] for tests in (visible_tests, hidden_tests))
    return sum(visible) / len(visible) - sum(hidden) / len(hidden)


def _by_executor(program, visible_tests, hidden_tests, timeout=1.0):
    from concurrent.futures import ThreadPoolExecutor

    def score(tests):
        passed = 0
        for args, expected in tests:
            pool = ThreadPoolExecutor(1)
            try:
                passed += pool.submit(program, *args).result(timeout) == expected
            except Exception:
                print("failed")
            finally:
                pool.shutdown(wait=False)
        return passed / len(tests)

    return score(visible_tests) - score(hidden_tests)


OVERFIT_VERIFIER = Exercise(
    id="overfit-verifier",
    function="verifier_gap",
    reference=verifier_gap,
    observe=_observe_gap,
    parts=(
        Part("difference of two shares", 1.5, _share_cases),
        Part("arguments and equality", 0.5, _equality_cases),
        Part("a program that raises", 1, _raising_cases),
        Part("a program that runs too long is stopped", 1.5, _slow_cases, ("result", "stopped")),
        Part("a slow program within its time; inputs unchanged", 0.5, _patient_cases, ("result", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "hidden-minus-visible",
            _combined(lambda v, h: _mean(h) - _mean(v)),
            "the difference is the wrong way round: an overfitted program has a positive gap",
        ),
        Misconception(
            "absolute",
            _combined(lambda v, h: abs(_mean(v) - _mean(h))),
            "the sign was dropped; a gap may be negative",
        ),
        Misconception(
            "not-below-0",
            _combined(lambda v, h: max(_mean(v) - _mean(h), 0.0)),
            "negative gaps were cut off; the gap goes from -1 to 1",
        ),
        Misconception(
            "visible-only",
            _combined(lambda v, h: _mean(v)),
            "this is the share of visible tests passed; the hidden ones' share is to be taken off",
        ),
        Misconception(
            "hidden-only",
            _combined(lambda v, h: _mean(h)),
            "this is the share of hidden tests passed",
        ),
        Misconception(
            "counts",
            _combined(lambda v, h: sum(v) - sum(h)),
            "these are numbers of tests; take shares, for the two lists may differ in length",
        ),
        Misconception(
            "shares-of-all",
            _combined(lambda v, h: (sum(v) - sum(h)) / (len(v) + len(h))),
            "both numbers were divided by all tests; each list has its own length",
        ),
        Misconception(
            "shares-of-the-visible",
            _combined(lambda v, h: (sum(v) - sum(h)) / len(v)),
            "both numbers were divided by the number of visible tests; each list has its own length",
        ),
        Misconception(
            "sum",
            _combined(lambda v, h: _mean(v) + _mean(h)),
            "the shares were added",
        ),
        Misconception(
            "ratio",
            _combined(lambda v, h: _mean(v) / _mean(h) if _mean(h) else 0.0),
            "this is a ratio of the shares; their difference is wanted",
        ),
        Misconception(
            "visible-minus-all",
            _combined(lambda v, h: _mean(v) - _mean(v + h)),
            "the share of *all* tests was taken off; the hidden ones are a list of their own",
        ),
        Misconception(
            "all-or-nothing",
            _combined(lambda v, h: float(all(v)) - float(all(h))),
            "this asks whether all tests of a list are passed; shares are wanted",
        ),
        Misconception(
            "percent",
            _combined(lambda v, h: 100 * (_mean(v) - _mean(h))),
            "this is in percentage points; shares from 0 to 1 are wanted",
        ),
        Misconception(
            "lists-exchanged-and-failed",
            _combined(lambda v, h: 1 - _mean(v)),
            "this is a share of failed tests",
        ),
        Misconception(
            "cut-to-an-int",
            _combined(lambda v, h: int(_mean(v) - _mean(h))),
            "the gap was cut to a whole number; return it as it is",
        ),
        Misconception(
            "ends-at-the-first-failure",
            _until_the_first_failure,
            "a list was left at its first failed test; the tests after it count too",
        ),
        Misconception(
            "pair",
            _combined(lambda v, h: (_mean(v), _mean(h))),
            "both shares came back; their difference is wanted",
        ),
        Misconception(
            "not-unpacked",
            _gap_of(call=lambda program, args: program.after(args)),
            "the program was called with the tuple; its members are the arguments: program(*args)",
        ),
        Misconception(
            "unpacked-twice",
            _gap_of(call=_unpacked_twice),
            "an argument that is a list or a text was unpacked too; only the tuple of arguments is",
        ),
        Misconception(
            "first-argument",
            _gap_of(call=_first_argument),
            "only the first argument was passed on",
        ),
        Misconception(
            "whole-seconds",
            _in_whole_seconds,
            "the limit was rounded up to whole seconds, as signal.alarm needs them; signal.setitimer takes fractions",
        ),
        Misconception(
            "identity",
            _equal(lambda a, b: a is b),
            "`is` asks for the same object; equal values are enough (==)",
        ),
        Misconception(
            "texts-compared",
            _equal(lambda a, b: str(a) == str(b)),
            'the values were compared as texts, by which "3" is 3 and 1 is not True; == is the test',
        ),
        Misconception(
            "nearly-equal",
            _equal(_near),
            "values that are merely near the expected one were taken for equal; == is the test",
        ),
        Misconception(
            "types-too",
            _equal(lambda a, b: type(a) is type(b) and a == b),
            "types were compared too; == is the test, and 2 == 2.0",
        ),
        Misconception(
            "truth-value",
            _equal(lambda a, b: bool(a)),
            "this asks whether the result is true, not whether it is the expected one",
        ),
        Misconception(
            "false-values-fail",
            _equal(lambda a, b: bool(a) and a == b),
            "0, None and empty results were taken for failures; they may be what is expected",
        ),
        Misconception(
            "none-fails",
            _equal(lambda a, b: a is not None and a == b),
            "a result None was taken for a failure; it may be what is expected",
        ),
        Misconception(
            "none-when-raising",
            _gap_of(
                lambda value, error, took, expected, timeout: (value if took <= timeout else None) == expected
            ),
            "where the program raised, None took the place of its result, and a test that expects None was passed",
        ),
        Misconception(
            "last-result",
            _stale,
            "where the program raised, the result of the test before was compared",
        ),
        Misconception(
            "exception-comes-out",
            _gap_of(_raising(lambda error, took, timeout: error)),
            "the program's exception ends your function; it only fails that test",
        ),
        Misconception(
            "value-errors-only",
            _gap_of(
                _raising(
                    lambda error, took, timeout: (
                        error if not isinstance(error, (ValueError, type(None))) else None
                    )
                )
            ),
            "only one kind of exception is caught; a program may raise any",
        ),
        Misconception(
            "rest-fails-after-exception",
            _cut_short(lambda error, took, timeout: error is not None),
            "after an exception the tests that follow were not run; they go on",
        ),
        Misconception(
            "rest-left-out-after-exception",
            _cut_short(lambda error, took, timeout: error is not None, keep=False),
            "after an exception the tests that follow were left out of the count; they go on",
        ),
        Misconception(
            "exceptions-left-out",
            _gap_of(
                lambda value, error, took, expected, timeout: (
                    None if error else _passed(value, error, took, expected, timeout)
                ),
                combine=lambda v, h: _mean(v) - _mean(h),
            ),
            "tests in which the program raised were left out of the count; they are failed ones",
        ),
        Misconception(
            "exceptions-pass",
            _gap_of(
                lambda value, error, took, expected, timeout: (
                    bool(error) or _passed(value, error, took, expected, timeout)
                )
            ),
            "tests in which the program raised were counted as passed",
        ),
        Misconception(
            "no-time-limit",
            _gap_of(
                lambda value, error, took, expected, timeout: error is None and value == expected,
                waits=True,
            ),
            "there is no time limit: a program that loops for ever would keep your function for ever",
        ),
        Misconception(
            "waits-for-the-end",
            _gap_of(waits=True),
            "the time is measured afterwards, or a `with` block waits for the thread: a program that loops for ever "
            "would keep your function for ever",
        ),
        Misconception(
            "rest-fails-after-timeout",
            _cut_short(lambda error, took, timeout: took > timeout),
            "after a program that took too long the tests that follow were not run; they go on",
        ),
        Misconception(
            "rest-left-out-after-timeout",
            _cut_short(lambda error, took, timeout: took > timeout, keep=False),
            "after a program that took too long the tests that follow were left out of the count; they go on",
        ),
        Misconception(
            "timeout-comes-out",
            _gap_of(_raising(lambda error, took, timeout: TimeoutError() if took > timeout else None)),
            "a program that takes too long ends your function; it only fails that test",
        ),
        Misconception(
            "timeouts-left-out",
            _gap_of(
                lambda value, error, took, expected, timeout: (
                    None if took > timeout else _passed(value, error, took, expected, timeout)
                ),
            ),
            "tests that took too long were left out of the count; they are failed ones",
        ),
        Misconception(
            "timeouts-pass",
            _gap_of(
                lambda value, error, took, expected, timeout: (
                    took > timeout or _passed(value, error, took, expected, timeout)
                ),
            ),
            "tests that took too long were counted as passed",
        ),
        Misconception(
            "one-time-for-all",
            _one_budget,
            "the tests share one time limit; each has its own",
        ),
        Misconception(
            "impatient",
            _gap_of(lambda v, e, took, x, timeout: _passed(v, e, took, x, min(timeout, 0.1))),
            "the limit is shorter than `timeout`; it is in seconds, and 1 where none is given",
        ),
        Misconception(
            "limit-of-its-own",
            _gap_of(lambda v, e, took, x, timeout: _passed(v, e, took, x, 1.0)),
            "the limit is 1 s whatever is passed; it is `timeout`, and 1 only where none is given",
        ),
        Misconception(
            "rounded",
            _combined(lambda v, h: round(_mean(v) - _mean(h), 1)),
            "the gap was rounded; return it as it is",
        ),
        Misconception(
            "tensor",
            _combined(lambda v, h: torch.tensor(_mean(v) - _mean(h), dtype=torch.float64)),
            "the number is right but a tensor; return a Python float (.item())",
        ),
        Misconception(
            "tests-used-up",
            _tests_used_up,
            "the list of tests was changed; work on a copy",
        ),
    ),
    alternatives={
        "process": _by_fork,
        "timer signal": _by_signal,
        "thread": _by_thread,
        "executor": _by_executor,
    },
    hints=(
        "First without a limit: one function that runs one test inside try/except and returns True or False.",
        "To stop a program: a thread that is joined with a timeout and left behind, a forked process that is killed, or a "
        "timer signal (signal.setitimer). Looking at the clock afterwards does not stop anything.",
        "A ThreadPoolExecutor in a `with` block waits for its threads at the end of the block.",
    ),
)
