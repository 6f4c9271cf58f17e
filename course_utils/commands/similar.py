"""`python -m course_utils similar`: solution cells of a class that are too alike, for a person to look at."""

import sys


def add_arguments(parser):
    """The command's options."""
    parser.add_argument("assignment", metavar="ASSIGNMENT")
    parser.add_argument("--submitted", metavar="DIR", default="submitted", help="default: %(default)s")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        help="share that two cells have in common (default: %(default)s)",
    )


def run_similar(asked):
    """Print the pairs; returns 0, or 1 for an error."""
    from rich.console import Console
    from rich.table import Table

    from course_utils.commands.grade import printable
    from course_utils.commands.paths import assignments
    from course_utils.grading.assignment import load_assignment
    from course_utils.grading.similar import answers_of_class, similar_pairs

    others = [name for name in assignments() if name != asked.assignment]
    try:
        assignment = load_assignment(asked.assignment)
        answers = answers_of_class(asked.submitted, assignment, others)
    except ValueError as error:
        print(f"similar: {error}", file=sys.stderr)
        return 1
    table = Table(title=f"{asked.assignment}: cells with at least {asked.threshold:.0%} in common")
    for column in ("exercise", "student", "student", "in common"):
        table.add_column(column)
    for pair in similar_pairs(answers, assignment, asked.threshold):
        table.add_row(pair.exercise, printable(pair.one), printable(pair.other), f"{pair.share:.0%}")
    Console(markup=False).print(table)
    print("Alike is no proof: look at the cells. Short answers are left out.")
    return 0
