"""The report of a run: what every submission got and why, as one JSON file that is always whole.

It is also the memory of a run that was stopped: a submission that stands there, with the same notebook and
the same checks, is not run again.
"""

import json
import os
from pathlib import Path


class Report:
    """{student: entry}, kept in a file that is rewritten as a whole after each change.

    An entry has the keys of the command line's contract (student, status, reason, score, max_score, exercises,
    seconds), and `memory` (bytes), `by_hand` (what waits for a person), `seed`, `notebook` (a digest) and `checks` (their
    version); where there is a grade also `late_seconds`, `late_penalty` and `manual` (see Writer.beside_tests).
    """

    def __init__(self, file, head):
        self.file, self.head, self.entries, self._texts = Path(file), head, {}, {}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if self.file.exists():
            self._read()

    def _read(self):
        try:
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            entries = {entry["student"]: entry for entry in kept["submissions"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"report: {self.file} is no report of this command: {error}") from error
        if kept.get("assignment") != self.head["assignment"]:
            raise ValueError(f"report: {self.file} is that of {kept.get('assignment')}: name another file")
        self.head = self.head | ({"seed": kept.get("seed")} if self.head.get("seed") is None else {})
        for entry in entries.values():
            self._keep(entry)

    def _keep(self, entry):
        self.entries[entry["student"]] = entry
        self._texts[entry["student"]] = json.dumps(entry, ensure_ascii=False)

    def put(self, entry):
        """Enter or replace the entry of a student, and write the file."""
        self._keep(entry)
        self.write()

    def write(self):
        """Write the file: a temporary one, then a rename."""
        head = json.dumps(self.head, ensure_ascii=False)[1:-1]
        lines = ",\n".join(self._texts[student] for student in sorted(self._texts))
        new = self.file.with_name(self.file.name + ".new")
        with open(new, "w", encoding="utf-8") as file:
            file.write(f'{{{head}, "submissions": [\n{lines}\n]}}\n')
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.file)


def entry(result, score, max_score, by_hand, **about):
    """The entry of one `jobs.Result`. `score`: None where there is none."""
    exercises = {
        verdict.exercise: {
            "score": verdict.score,
            "max_score": verdict.max_score,
            "message": verdict.message,
            "misconception": verdict.misconception,
        }
        for verdict in result.verdicts
    }
    return {
        "student": result.student, "status": result.status, "reason": result.reason, "score": score,
        "max_score": max_score, "exercises": exercises, "by_hand": list(by_hand), "seconds": result.seconds,
        "memory": result.memory,
    } | about  # fmt: skip
