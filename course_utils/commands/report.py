"""`python -m course_utils report`: the weekly report, from the service's store."""

import sys

BUSY = 75  # "try again later", as sendmail and cron understand it


def first_line(command, error):
    """An error as a command tells it; a database's errors go on with the statement and an address."""
    from sqlalchemy.exc import SQLAlchemyError

    where = "--database: " if isinstance(error, SQLAlchemyError) else ""
    return f"{command}: {where}{error}".splitlines()[0]


def add_arguments(parser):
    """The command's options."""
    parser.add_argument("--database", required=True, metavar="URL", help="of the service's store")
    parser.add_argument("--week", required=True, metavar="2026-W47", help="an ISO week that is over")
    parser.add_argument(
        "--baseline-weeks",
        type=int,
        default=26,
        help="weeks before it that count as normal (default %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the reports")


def run_report(asked):
    """Write the report; returns an exit status: 0, 1 for an error, 75 where another process is at work."""
    from sqlalchemy.exc import SQLAlchemyError

    from course_utils.iteration.files import Busy
    from course_utils.iteration.report import weekly_report
    from course_utils.serving.store import open_store

    try:
        store = open_store(asked.database, make=False)
        try:
            written = weekly_report(store, asked.week, asked.baseline_weeks, asked.out)
        finally:
            store.close()
    except Busy as error:
        print(error, file=sys.stderr)
        return BUSY
    except (ValueError, OSError, SQLAlchemyError) as error:
        print(first_line("report", error), file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0
