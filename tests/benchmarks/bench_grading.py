"""Submissions a minute: `nbgrader autograde` and sealed grading, the same submissions on the same machine.

    python tests/benchmarks/bench_grading.py [--submissions 40] [--scale 500] [--workers N] [--alone]

Experiments are skipped on both sides, the assignment is in the gradebook before the clock starts, hidden inputs come
from the same seed. A side's rate counts from its first graded submission to its last, and its start is reported apart.
At the end the points of both are compared, and memory is shown for a class of 500 (`--alone`: only that).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from nbgrader.api import Gradebook

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from grading_class import answered, cells_of, hand_in, released  # noqa: E402

from course_utils.commands.paths import ROOT, SOLUTIONS, kernel_environment  # noqa: E402
from course_utils.grading.fanout import cores  # noqa: E402
from course_utils.grading.run import Plan, grade_class  # noqa: E402

NAME, SEED = "02-dpo-from-scratch", 20261129
WRONG = {  # of every five submissions one is perfect, one blank, and three have one of these mistakes each
    "dpo-loss": "import torch\ndef dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):\n"
    "    margin = policy_chosen - policy_rejected\n    return -torch.nn.functional.logsigmoid(beta * margin)",
    "sequence-logprob": "def sequence_logprob(logits, labels, average=False):\n    logp = token_logprobs(logits, labels)\n"
    "    return logp.mean(-1) if average else logp.sum(-1)",
    "length-bias": "import numpy\ndef length_bias(rewards, lengths):\n"
    "    return float(numpy.corrcoef(rewards, lengths)[0, 1])",
}


def lay_class(folder, count):
    """`count` submissions in `folder`, of five kinds in turn."""
    kinds = [answered(NAME), released(NAME), *(spoiled(id, source) for id, source in WRONG.items())]
    for number in range(count):
        hand_in(folder, f"student-{number:03d}", kinds[number % len(kinds)], NAME)


def spoiled(id, source):
    notebook = answered(NAME)
    cells_of(notebook)[id].source = source
    return notebook


def course_folder(folder, count):
    """A course with a class and with the assignment in its gradebook."""
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    shutil.copytree(SOLUTIONS / NAME, folder / "solutions" / NAME)
    lay_class(folder / "submitted", count)
    nbgrader(folder, "generate_assignment", NAME)
    return folder


def nbgrader(folder, *words):
    environment = kernel_environment() | {"COURSE_GRADING_SEED": str(SEED), "COURSE_SCALE": "fast"}
    command = [sys.executable, "-m", "nbgrader", *words]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def scores(folder):
    """{student: score} of a gradebook."""
    with Gradebook(f"sqlite:///{folder}/gradebook.db", "beyond-rlhf") as book:
        return {s.student.id: round(s.score, 2) for s in book.assignment_submissions(NAME)}


def time_nbgrader(folder):
    """(start in s, submissions a minute) of `nbgrader autograde`."""
    began = time.time()
    nbgrader(folder, "autograde", NAME)
    done = sorted(os.path.getmtime(file) for file in folder.glob(f"autograded/*/{NAME}/*.ipynb"))
    each = (done[-1] - done[0]) / (len(done) - 1)
    return done[0] - began - each, 60 / each


def time_sealed(folder, workers):
    """(start in s, submissions a minute, [(submissions, MB of all our processes)]) of sealed grading."""
    began, times, memory = time.time(), [], []

    def note(done, total):
        if done:
            times.append(time.time())
        if done % 50 == 1 or done == total:
            memory.append((done, megabytes()))

    plan = Plan(
        NAME, str(folder / "submitted"), str(folder / "gradebook.db"), str(folder / "autograded"),
        workers=workers, seed=SEED,
    )  # fmt: skip
    grade_class(plan, say=print, progress=note)
    each = (times[-1] - times[0]) / (len(times) - 1)
    return times[0] - began - each, 60 / each, memory


def megabytes():
    """Resident memory of this process and all below it; pages that they share are counted once (PSS)."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return round(total / 2**20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=int, default=40)
    parser.add_argument("--scale", type=int, default=500)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--alone", action="store_true")
    asked = parser.parse_args()
    os.environ.update(kernel_environment())
    with tempfile.TemporaryDirectory(prefix="bench-grading-") as scratch:
        scratch = Path(scratch)
        if not asked.alone:
            compare(scratch, asked)
        if asked.scale:
            (scratch / "large").mkdir()
            start, rate, memory = time_sealed(course_folder(scratch / "large", asked.scale), asked.workers)
            print(f"a class of {asked.scale}: start {start:.1f} s, {rate:.0f} submissions a minute")
            print("memory: " + ", ".join(f"{mb} MB after {done}" for done, mb in memory))
            hours = 5000 / rate / 60
            print(f"5,000 submissions at this rate: {hours:.1f} hours on {asked.workers} workers")


def compare(scratch, asked):
    for side in ("nbgrader", "sealed"):
        (scratch / side).mkdir()
        course_folder(scratch / side, asked.submissions)
    start, sealed, _ = time_sealed(scratch / "sealed", asked.workers)
    print(
        f"sealed, {asked.workers} workers: start {start:.1f} s, then {sealed:.1f} submissions a minute",
        flush=True,
    )
    start, plain = time_nbgrader(scratch / "nbgrader")
    print(f"nbgrader autograde: start {start:.1f} s, then {plain:.1f} submissions a minute")
    print(f"{sealed / plain:.1f} times as many")
    ours, theirs = scores(scratch / "sealed"), scores(scratch / "nbgrader")
    different = {s: (theirs.get(s), ours.get(s)) for s in ours | theirs if ours.get(s) != theirs.get(s)}
    print(f"same points: {'yes' if not different else f'no, (nbgrader, sealed): {different}'}", flush=True)


if __name__ == "__main__":
    main()
