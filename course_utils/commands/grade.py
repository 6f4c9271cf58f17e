"""`python -m course_utils grade`: grade a class's submissions of an assignment, with the verdict outside the sandbox."""

import sys

BUSY = 75  # "try again later", as sendmail and cron understand it


def add_arguments(parser):
    """The command's options."""
    parser.add_argument("assignment", metavar="ASSIGNMENT")
    parser.add_argument(
        "--submitted", required=True, metavar="DIR",
        help="folder of the submissions: STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb",
    )  # fmt: skip
    parser.add_argument(
        "--gradebook", required=True, metavar="URL_OR_FILE",
        help="nbgrader's gradebook: a SQLite file, or a database's URL; made where it is missing",
    )  # fmt: skip
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="for the graded notebooks: nbgrader's autograded folder"
    )
    parser.add_argument("--student", action="extend", nargs="+", metavar="ID", help="only these")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="a Dask cluster instead of processes")
    parser.add_argument(
        "--report",
        metavar="FILE.json",
        help="what everybody got and why (default: ASSIGNMENT-report.json in --out)",
    )
    parser.add_argument("--seed", type=int, help="of the hidden inputs (default: the report's, else drawn)")
    parser.add_argument("--regrade", metavar="EXERCISE", help="decide this exercise again, and no other")
    parser.add_argument(
        "--never-lower", action="store_true", help="keep a score that is there where the new one is lower"
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="run student code without a sandbox, with all that you may do"
    )


def run_grading(asked):
    """Grade; returns 0 where every submission is graded or failed, 1 where one is ungraded or for an error."""
    from course_utils.grading import bubblewrap, cgroups

    if not asked.unsafe and (reason := bubblewrap.missing()):
        print(
            f"grade: {reason}. Student code does not run without a sandbox; to run it all the same, with all that "
            "you may do yourself: --unsafe",
            file=sys.stderr,
        )
        return 1
    if not asked.unsafe and not cgroups.available():
        print(
            "grade: no control group can be had here, so the memory of many processes of one submission is looked at "
            "ten times a second, not limited by the kernel",
            file=sys.stderr,
        )
    from rich.console import Console

    from course_utils.commands.bars import progress_bars
    from course_utils.grading.class_page import rich_table, write_class_report
    from course_utils.grading.fanout import cores
    from course_utils.grading.run import Plan, grade_class

    plan = Plan(
        asked.assignment, asked.submitted, asked.gradebook, asked.out, asked.report,
        tuple(asked.student) if asked.student else None, asked.workers or cores(), asked.scheduler, asked.seed,
        not asked.unsafe, regrade=asked.regrade, never_lower=asked.never_lower,
    )  # fmt: skip
    console = Console(highlight=False, markup=False, soft_wrap=True)
    bars = progress_bars(console)
    try:
        with bars:
            task = bars.add_task(asked.assignment, total=None)
            report, assignment = grade_class(
                plan,
                say=lambda line: console.print(printable(line)),
                progress=lambda done, total: bars.update(task, completed=done, total=total),
            )
    except ValueError as error:
        print(f"grade: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(f"grade: {error}", file=sys.stderr)
        return BUSY
    except KeyboardInterrupt:
        print("grade: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    entries = list(report.entries.values())
    rows, paths = write_class_report(entries, assignment, report.file)
    if rows:
        console.print(rich_table(rows, f"{asked.assignment}: {rows[0].graded} submissions"))
    counts = {
        status: sum(e["status"] == status for e in entries) for status in ("graded", "failed", "ungraded")
    }
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    print("report: " + ", ".join(str(path) for path in (report.file, *paths)))
    return int(counts["ungraded"] > 0)


def printable(line):
    """A line without what would move the cursor or change colours: names and reasons come from students."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
