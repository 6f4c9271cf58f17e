"""`python -m course_utils mutants`: do the checks accept what is right, and reject and name what is wrong?"""

import sys


def add_arguments(parser):
    """The command's options."""
    parser.add_argument("assignment", metavar="ASSIGNMENT")
    parser.add_argument(
        "--answers", metavar="DIR",
        help="a folder of further answers, EXERCISE/right/NAME.py and EXERCISE/wrong/NAME.py; run in the sandbox",
    )  # fmt: skip
    parser.add_argument(
        "--exercise", action="append", metavar="ID", help="only this one; may be given several times"
    )
    parser.add_argument(
        "--seed", action="append", type=int, help="of the inputs; may be given several times (default: 0)"
    )
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="run the folder's answers without a sandbox, with all that you may do",
    )


def run_mutants(asked):
    """Print the kill table; returns 0 where every check does what it should, 1 where one does not."""
    from course_utils.checks import catalogue
    from course_utils.grading import bubblewrap
    from course_utils.grading.mutants import answers_in, table

    exercises, answers = catalogue.assignment(asked.assignment), []
    wanted = asked.exercise or list(exercises)
    try:
        if unknown := [id for id in wanted if id not in exercises]:
            raise ValueError(
                f"{asked.assignment} has no exercise {unknown[0]!r}; there are {', '.join(exercises)}"
            )
        if asked.answers:
            answers = [one for one in answers_in(asked.answers, exercises) if one[0].id in wanted]
            if not asked.unsafe and (reason := bubblewrap.missing()):
                raise ValueError(
                    f"{reason}. The answers do not run without a sandbox; to run them all the same: --unsafe"
                )
    except ValueError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    seeds = asked.seed or [0]
    outcomes = _with_progress(asked, [exercises[id] for id in wanted], answers, seeds)
    print("\n".join(table(outcomes)))
    return int(not all(one.holds for one in outcomes))


def _with_progress(asked, exercises, answers, seeds):
    """All outcomes; on stderr meanwhile how many answers have been tried, of how many, and how long the rest takes."""
    from rich.console import Console

    from course_utils.commands.bars import progress_bars
    from course_utils.grading.mutants import outcomes_of, own_count, own_outcomes

    found = [(exercise.id, own_outcomes(exercise, seeds)) for exercise in exercises]
    if answers:
        from course_utils.grading.assignment import load_assignment

        assignment = load_assignment(asked.assignment)
        found.append((asked.answers, outcomes_of(answers, assignment, seeds, sandbox=not asked.unsafe)))
    outcomes, total = [], sum(map(own_count, exercises)) + len(answers)
    with progress_bars(Console(stderr=True, highlight=False, markup=False)) as bars:
        task = bars.add_task(asked.assignment, total=total)
        for name, some in found:
            bars.update(task, description=name)
            for one in some:
                outcomes.append(one)
                bars.advance(task, one.column != "named")  # the second outcome of a wrong answer
    return outcomes
