"""The progress of a command that takes minutes: what is done, of how much, and how long the rest will take."""


def progress_bars(console):
    """A rich `Progress` with an estimate of the time that is left, on a rich console."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left:"), TimeRemainingColumn(elapsed_when_finished=False), console=console,
    )  # fmt: skip
