"""`python -m course_utils retrain`: a month's votes to a decision; may be killed and called again."""

import dataclasses
import sys

from course_utils.commands.report import BUSY, first_line
from course_utils.iteration.plan import Plan

OPTIONS = tuple((f.name, type(f.default), f.default, f.metadata["help"]) for f in dataclasses.fields(Plan))


def add_arguments(parser):
    """The command's options; those of the plan are its fields."""
    parser.add_argument(
        "--month", required=True, metavar="2026-11", help="the newest month that is trained on"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--database", metavar="URL", help="of the service's store")
    source.add_argument("--log", metavar="FILE", help="a feedback log: .csv, .parquet or .jsonl")
    parser.add_argument(
        "--base", required=True, metavar="DIR", help="the model that is trained, and the reference"
    )
    parser.add_argument("--control", metavar="DIR", help="the model to beat; by default the base")
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder for this month")
    parser.add_argument("--previous", nargs="*", default=[], metavar="DIR", help="folders of earlier months")
    for name, kind, default, text in OPTIONS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=default, help=f"{text} (default {default})"
        )


def run_retraining(asked):
    """Run it; returns an exit status: 0 whatever was decided, 1 for an error, 75 where another process is at work."""
    from sqlalchemy.exc import SQLAlchemyError

    from course_utils.iteration.files import Busy
    from course_utils.iteration.retrain import retrain

    try:
        plan = Plan(**{field.name: getattr(asked, field.name) for field in dataclasses.fields(Plan)})
        decision = retrain(
            asked.month, asked.out, asked.base, plan, asked.database, asked.log, asked.previous, asked.control,
            say=lambda line: print(line, flush=True),
        )  # fmt: skip
    except Busy as error:
        print(error, file=sys.stderr)
        return BUSY
    except (ValueError, OSError, RuntimeError, SQLAlchemyError) as error:  # torch's own are RuntimeErrors
        print(first_line("retrain", error), file=sys.stderr)
        return 1
    print(f"{asked.month}: {decision['decision']}")
    print("".join(f"  {reason}\n" for reason in decision["reasons"]), end="")
    return 0
