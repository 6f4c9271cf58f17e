"""How a wrong answer gets its name: which misconception explains it best, and what it costs to find out."""

from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.judge import judge
from course_utils.checks.observe import observe_call

DRAWN, LOOKED = [], []


def cases(draw):
    DRAWN.append(1)
    return [Case((float(x),), label=f"at {x}") for x in (1, 2, 3, 4)]


def observe(function, case):
    LOOKED.append(function)
    return observe_call(function, case)


def reference(x):
    return 2.0 * x


def off_by_one(x):
    return 2.0 * x + 1


def wrong_above_two(x):
    return 2.0 * x + (x > 2)


def wrong_at_four(x):
    return 2.0 * x + (x > 3)


def other(number):
    return lambda x: 2.0 * x + number


def exercise(*functions):
    named = tuple(Misconception(name, function, f"{name}.") for name, function in functions)
    return Exercise(
        "doubled", "doubled", reference, (Part("values", 1, cases),), named, {}, (), observe=observe
    )


OTHERS = [(f"other-{n}", other(n)) for n in range(2, 30)]


def name_of(answer, *functions):
    return judge(exercise(*functions), answer).misconception


def test_what_explains_every_failure_comes_before_what_explains_some():
    assert name_of(lambda x: 2.0 * x + 1, ("some", wrong_above_two), ("all", off_by_one)) == "all"


def test_of_those_that_explain_every_failure_one_that_is_right_elsewhere_is_named():
    def answer(x):
        return 2.0 * x + (x > 2)

    assert name_of(answer, ("everywhere", off_by_one), ("above", wrong_above_two)) == "above"
    assert name_of(answer, ("everywhere", off_by_one)) == "everywhere"


def test_what_explains_some_is_named_where_nothing_explains_all():
    def answer(x):
        return 2.0 * x + (x > 2) + (x > 3)

    assert name_of(answer, *OTHERS, ("one", lambda x: 2.0 * x + 2 * (x > 3))) == "one"
    assert name_of(answer, ("never", other(7))) == ""


def test_a_name_costs_one_look_at_most_misconceptions_and_inputs_are_drawn_once():
    """Drawing a frame of votes takes ten times as long as looking at it; there are up to seventy misconceptions."""
    DRAWN.clear()
    LOOKED.clear()
    assert name_of(lambda x: 2.0 * x + 1, *OTHERS, ("all", off_by_one)) == "all"
    assert len(DRAWN) == 2  # for the student's function, which may change them, and for ours
    looks = {function: LOOKED.count(function) for _, function in OTHERS}
    assert set(looks.values()) == {1} and LOOKED.count(off_by_one) == 4
