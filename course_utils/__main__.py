"""python -m course_utils COMMAND: what `make` calls, for systems without make."""

import argparse
import sys

from course_utils.commands import exchange, grade, mutants, report, retrain, serve, similar
from course_utils.commands.paths import assignments


def main(arguments=None):
    """Run one command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m course_utils", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("course", "run every solved notebook from end to end and print a table"),
        ("notebooks", "build the solved and the released notebooks from their sources"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", metavar="ASSIGNMENT", help="default: all")
    measure = commands.add_parser(
        "measure", help="run the long experiments anew and keep their results (make full)"
    )
    measure.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    test = commands.add_parser("test", help="run the tests, without network where the system allows it")
    test.add_argument("--browser", action="store_true", help="only those that drive a browser")
    lab = commands.add_parser("lab", help="open JupyterLab on your copies in work/")
    lab.add_argument("options", nargs="*", help="further options for jupyter lab, after --")
    serve.add_arguments(commands.add_parser("serve", help="serve a model to chat with and to vote on"))
    report.add_arguments(commands.add_parser("report", help="write a week's report from the service's store"))
    retrain.add_arguments(
        commands.add_parser("retrain", help="retrain on a month's votes and say whether it may go out")
    )
    grade.add_arguments(commands.add_parser("grade", help="grade a class's submissions in a sandbox"))
    mutants.add_arguments(
        commands.add_parser("mutants", help="test an assignment's checks with right and wrong answers")
    )
    similar.add_arguments(
        commands.add_parser("similar", help="list solution cells of a class that are too alike")
    )
    exchange.add_arguments(commands.add_parser("exchange", help="set up nbgrader's exchange for a class"))
    release = commands.add_parser("release", help="pack the bundle for students")
    release.add_argument(
        "--exchange", metavar="DIR", help="folder of nbgrader's exchange, for their settings"
    )
    commands.add_parser("doctor", help="say what is missing on this machine and how to mend it")
    asked = parser.parse_args(arguments)

    names = getattr(asked, "names", None) or assignments()
    if unknown := [n for n in names if n not in assignments()]:
        parser.error(f"no assignment {unknown[0]!r}; there are {', '.join(assignments())}")
    # imported when asked for: each needs other libraries
    if asked.command == "course":
        from course_utils.commands.course import run_course

        return run_course(names)
    if asked.command == "notebooks":
        from course_utils.commands.course import build_notebooks

        return build_notebooks(names)
    if asked.command == "measure":
        from course_utils.commands.measure import EXPERIMENTS, run_measurements

        if unknown := [n for n in asked.experiments if n not in EXPERIMENTS]:
            parser.error(f"no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
        return run_measurements(asked.experiments)
    if asked.command == "test":
        from course_utils.commands.test import run_tests

        return run_tests(browser=asked.browser)
    if asked.command == "serve":
        return serve.run_service(asked)
    if asked.command == "report":
        return report.run_report(asked)
    if asked.command == "retrain":
        return retrain.run_retraining(asked)
    if asked.command == "grade":
        return grade.run_grading(asked)
    if asked.command == "mutants":
        if asked.assignment not in assignments():
            parser.error(f"no assignment {asked.assignment!r}; there are {', '.join(assignments())}")
        return mutants.run_mutants(asked)
    if asked.command == "similar":
        return similar.run_similar(asked)
    if asked.command == "exchange":
        return exchange.run_exchange(asked)
    if asked.command == "release":
        from course_utils.commands.release import run_release

        return run_release(asked.exchange)
    if asked.command == "lab":
        from course_utils.commands.lab import open_lab

        return open_lab(asked.options)
    from course_utils.commands.doctor import examine

    return examine()


if __name__ == "__main__":
    sys.exit(main())
