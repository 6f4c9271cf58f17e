"""`make course` and `make notebooks`: run the solved notebooks with progress, end with a table."""

import logging

from nbgrader.utils import determine_grade, is_grade, is_solution
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from course_utils.commands.build import build_solved, release, settle, solved_source, write
from course_utils.commands.execute import CELL_TIMEOUT, execute
from course_utils.commands.paths import ROOT, SOLUTIONS
from course_utils.scale import scale


def run_course(names):
    """Execute the solved notebooks at the scale in force; the executed copies go to build/course/.

    Returns:
        0 where every notebook ran through and every automatic test gave full points, else 1.
    """
    console, rows, failed = Console(), [], False
    with _progress(console) as bars:
        for name in names:
            notebook = solved_source(name)
            task = bars.add_task(name, total=len(notebook.cells))
            try:
                cost = execute(
                    notebook,
                    SOLUTIONS / name,
                    on_cell=lambda done, task=task: bars.update(task, completed=done),
                    timeout=None if scale() == "full" else CELL_TIMEOUT,
                )
            except Exception as error:  # one broken notebook must not hide the others
                console.print(f"[bold]{name} failed[/]: ", f"{error}"[-2000:], markup=False)
                rows.append((name, "-", "failed", "-", "-"))
                failed = True
                continue
            bars.update(task, completed=len(notebook.cells))
            settle(notebook)
            folder = ROOT / "build" / "course" / name
            folder.mkdir(parents=True, exist_ok=True)
            write(notebook, folder / f"{name}.ipynb")
            exercises, earned, possible, by_hand = points(notebook)
            failed |= earned < possible
            text = f"{earned:g} of {possible:g}" + (f" + {by_hand:g} by hand" if by_hand else "")
            rows.append((name, str(exercises), text, f"{cost.seconds:.1f}", f"{cost.peak_bytes / 2**20:.0f}"))
    table = Table(title=f"The course at scale {scale()!r}")
    for column in ("notebook", "exercises", "points earned", "seconds", "peak MiB"):
        table.add_column(column, justify="left" if column == "notebook" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return int(failed)


def build_notebooks(names):
    """Build both products of each source (`make notebooks`)."""
    console = Console()
    with _progress(console) as bars:
        for name in names:
            task = bars.add_task(name, total=len(solved_source(name).cells))
            build_solved(name, on_cell=lambda done, task=task: bars.update(task, completed=done))
            bars.update(task, completed=bars.tasks[task].total)
    release(names)
    console.print(f"built: {', '.join(names)}")
    return 0


def points(notebook):
    """(exercises, points earned, points possible, points graded by hand) of an executed notebook, by nbgrader's rules."""
    earned = possible = by_hand = 0.0
    quiet = logging.getLogger("points")
    for cell in notebook.cells:
        if not is_grade(cell):
            continue
        if is_solution(cell):
            by_hand += cell.metadata.nbgrader.points
            continue
        got, worth = determine_grade(cell, quiet)
        earned, possible = earned + got, possible + worth
    exercises = sum(is_solution(c) and c.cell_type == "code" for c in notebook.cells)
    return exercises, earned, possible, by_hand


def _progress(console):
    return Progress(
        TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TextColumn("cells"),
        TimeElapsedColumn(), console=console,
    )  # fmt: skip
