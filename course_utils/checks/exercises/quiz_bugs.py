"""06-final-quiz: find the bug. Sixteen pieces of alignment code that look right and are wrong.

Bugs 01 to 08 are those of notebook 04.
"""

from course_utils.checks.exercises import (
    quiz_bugs_data,
    quiz_bugs_evaluation,
    quiz_bugs_losses,
    quiz_bugs_rl,
    quiz_bugs_sampling,
    quiz_bugs_tokens,
)

_MODULES = (
    quiz_bugs_losses,
    quiz_bugs_tokens,
    quiz_bugs_rl,
    quiz_bugs_sampling,
    quiz_bugs_data,
    quiz_bugs_evaluation,
)

BUGS = tuple(sorted((bug for module in _MODULES for bug in module.BUGS), key=lambda bug: bug.id))
