"""An answer that reaches the course's own implementation is found out, however it is spelled."""

import textwrap

import pytest

from course_utils.checks import catalogue
from course_utils.checks.judge import judge

CHEATS = {
    "imported above": """
        from course_utils.checks.exercises.start_here import log_softmax
    """,
    "module attribute": """
        import course_utils.checks.exercises.start_here as m
        def log_softmax(logits): return m.log_softmax(logits)
    """,
    "package attribute": """
        import course_utils
        import course_utils.checks.exercises.start_here
        def log_softmax(logits): return course_utils.checks.exercises.start_here.log_softmax(logits)
    """,
    "import inside": """
        def log_softmax(logits):
            from course_utils.checks.exercises.start_here import log_softmax as right
            return right(logits)
    """,
    "importlib": """
        def log_softmax(logits):
            import importlib
            return importlib.import_module("course_utils.checks.exercises.start_here").log_softmax(logits)
    """,
    "helper": """
        from course_utils.checks.exercises.start_here import log_softmax as right
        def helper(x): return right(x)
        def log_softmax(logits): return helper(logits)
    """,
    "partial": """
        import functools
        from course_utils.checks.exercises.start_here import log_softmax as right
        log_softmax = functools.partial(right)
    """,
    "default": """
        from course_utils.checks.exercises.start_here import log_softmax as right
        def log_softmax(logits, f=right): return f(logits)
    """,
    "closure": """
        from course_utils.checks.exercises.start_here import log_softmax as right
        def make(f):
            def log_softmax(logits): return f(logits)
            return log_softmax
        log_softmax = make(right)
    """,
    "class": """
        from course_utils.checks.exercises.start_here import log_softmax as right
        class Answer:
            def __call__(self, logits): return right(logits)
        log_softmax = Answer()
    """,
    "table": """
        from course_utils.checks.exercises.start_here import log_softmax as right
        TABLE = {"f": [right]}
        def log_softmax(logits): return TABLE["f"][0](logits)
    """,
    "lru_cache": """
        import functools
        from course_utils.checks.exercises.start_here import log_softmax as right
        log_softmax = functools.lru_cache(right)
    """,
    "globals": """
        from course_utils.checks.exercises.start_here import log_softmax as right
        def log_softmax(logits): return globals()["right"](logits)
    """,
    "decorator": """
        import torch
        from course_utils.checks.exercises.start_here import log_softmax as right
        @torch.enable_grad()
        def log_softmax(logits): return right(logits)
    """,
}
HONEST = {
    "an attribute that bears the name of a course's function": """
        import torch
        from course_utils.checks.exercises.start_here import log_softmax as logsumexp
        def log_softmax(logits): return logits - logits.logsumexp(-1, keepdim=True)
    """,
    "torch": """
        import torch
        from course_utils import plots
        def log_softmax(logits): return torch.log_softmax(logits, -1)
    """,
    "class": """
        import torch
        class Answer:
            def __call__(self, logits): return torch.log_softmax(logits, -1)
        log_softmax = Answer()
    """,
}


def _defined(source):
    names = {"__name__": "__main__"}
    exec(textwrap.dedent(source), names)
    return names["log_softmax"]


@pytest.mark.parametrize("source", CHEATS.values(), ids=CHEATS)
def test_a_call_of_the_courses_own_answer_earns_nothing_and_is_told(source):
    report = judge(catalogue.exercise("log-softmax"), _defined(source))
    assert report.points == 0
    assert "course's own implementation" in report.refused


@pytest.mark.parametrize("source", HONEST.values(), ids=HONEST)
def test_an_honest_answer_is_not_suspected(source):
    assert judge(catalogue.exercise("log-softmax"), _defined(source)).passed
