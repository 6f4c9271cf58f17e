"""All exercises and recall questions, by assignment; each module is imported when it is first asked for."""

from functools import cache
from importlib import import_module

MODULES = {
    "00-start-here": "start_here",
    "01-derivation": "derivation",
    "02-dpo-from-scratch": "dpo_from_scratch",
    "03-method-comparison": "method_comparison",
    "04-kto-pipeline": "kto_pipeline",
    "05-goodhart": "goodhart",
    "06-final-quiz": "final_quiz",
}


@cache
def assignment(name):
    """The exercises of one assignment, {id: Exercise}, in the order of the notebook."""
    module = import_module(f"course_utils.checks.exercises.{MODULES[name]}")
    return {exercise.id: exercise for exercise in module.EXERCISES}


def exercise(id):
    """The exercise with this id.

    Raises:
        ValueError: if there is none.
    """
    for name in MODULES:
        if id in assignment(name):
            return assignment(name)[id]
    raise ValueError(f"there is no exercise {id!r}")


@cache
def recall_questions(name):
    """The recall questions of one assignment, {id: RecallQuestion}."""
    module = import_module(f"course_utils.checks.exercises.{MODULES[name]}")
    return {question.id: question for question in getattr(module, "RECALL", ())}
