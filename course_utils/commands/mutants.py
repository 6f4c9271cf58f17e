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
    from course_utils.grading.mutants import answers_in, own_outcomes, table

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
    seeds, outcomes = asked.seed or [0], []
    for id in wanted:
        print(f"{id} ...", file=sys.stderr, flush=True)
        outcomes += own_outcomes(exercises[id], seeds)
    if answers:
        from course_utils.grading.assignment import load_assignment
        from course_utils.grading.mutants import outcomes_of

        print(f"{len(answers)} answers of {asked.answers} ...", file=sys.stderr, flush=True)
        outcomes += outcomes_of(answers, load_assignment(asked.assignment), seeds, sandbox=not asked.unsafe)
    print("\n".join(table(outcomes)))
    return int(not all(one.holds for one in outcomes))
