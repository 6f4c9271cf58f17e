"""Log-probability kernels side by side: time, extra memory, error; and how cost grows, as a picture (`make bench`).

Times are the least of several rounds in which every way has its turn, so that a busy machine hits all alike; CPU seconds, of
both cores together, depend less on who else is there. Memory
is the largest resident (on a GPU, allocated) above what stood before, each way in a process of its own. Errors are
against float64, of the gradient by the hidden states, in units of its largest entry. Ways that do not run here
are named with their reason.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import heads  # noqa: E402  (a script's neighbour)

WIDTH, PAIRS = 576, 8
# label of an axis: (N, V, where that stands on the axis)
GROWTH = {
    "rows N (V = 16,384)": [(n, 16384, n) for n in (256, 512, 1024, 2048)],
    "vocabulary V (N = 512)": [(512, v, v) for v in (8192, 16384, 32768, 65536)],
}


def timed(names, given, frozen, rounds):
    """{name: (least seconds of a step, least CPU seconds)}."""
    best = {name: (float("inf"), float("inf")) for name in names}
    for _ in range(rounds):
        for name in names:
            _wait()
            start, busy = time.perf_counter(), time.process_time()
            heads.step(name, given, frozen)
            _wait()
            spent = time.perf_counter() - start, time.process_time() - busy
            best[name] = tuple(map(min, best[name], spent))
    return best


def extra_memory(name, shape, frozen):
    """Bytes above what stood before the step, the gradients included, in a fresh process."""
    command = [sys.executable, __file__, "--memory", name, *map(str, shape), str(int(frozen))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def print_extra_memory(name, rows, vocabulary, frozen):
    """What `extra_memory` reads; code and libraries are warmed up by a small step first."""
    device = _device()
    heads.step(name, heads.problem(64, WIDTH, 97, PAIRS, device=device), frozen)
    given = heads.problem(rows, WIDTH, vocabulary, PAIRS, device=device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        heads.step(name, given, frozen)
        print(torch.cuda.max_memory_allocated() - before)
        return
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    heads.step(name, given, frozen)
    print(_status("VmHWM") - before)


def errors(names, vocabulary, frozen):
    """{name: largest error of the gradient by the hidden states, relative to its largest entry}."""
    small = heads.problem(256, WIDTH, vocabulary, PAIRS, device=_device())
    wide = small._replace(**{n: getattr(small, n).double() for n in ("hidden", "weight", "reference")})
    exact = heads.step(heads.NAIVE, wide, True)[1]
    del wide
    found = {name: heads.step(name, small, frozen)[1].double() for name in names}
    return {name: ((g - exact).abs().max() / exact.abs().max()).item() for name, g in found.items()}


def table(rows, vocabulary, frozen, rounds):
    """Print one table: every way that runs here."""
    print(f"\n{'frozen' if frozen else 'trained'} head, N={rows} d={WIDTH} V={vocabulary}, float32")
    names = []
    for name in [*heads.TOKENS, *heads.WHOLE]:
        if frozen and name in heads.WHOLE:
            continue  # with a frozen head a pair loss has nothing to save over linear_logprobs
        if reason := heads.runs_here(name, frozen):
            print(f"  {name}: not run ({reason})")
        else:
            names.append(name)
    seconds = timed(names, heads.problem(rows, WIDTH, vocabulary, PAIRS, device=_device()), frozen, rounds)
    wrong = errors(names, vocabulary, frozen)
    print(f"  {'':36} seconds  ratio  ratio of CPU seconds   error   extra MB  ratio")
    naive, most = seconds[heads.NAIVE], None
    for name in names:  # the naive way comes first
        wall, busy = (a / b for a, b in zip(seconds[name], naive, strict=True))
        memory = extra_memory(name, (rows, vocabulary), frozen)
        most = most or memory
        print(
            f"  {name:36} {seconds[name][0]:7.2f} {wall:6.2f} {busy:21.2f}   {wrong[name]:.0e}"
            f" {memory / 1e6:10.0f} {memory / most:6.2f}",
            flush=True,
        )


def growth(path, rounds):
    """A picture of time and extra memory over N and over V, for four ways."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.ticker import LogLocator

    from course_utils import plots

    names = [heads.NAIVE, "trl 1.16", "linear_logprobs", "preference_loss"]
    names = [name for name in names if not heads.runs_here(name, False)]
    fig, axes = plots.figure(rows=2, columns=2)
    for column, (label, shapes) in enumerate(GROWTH.items()):
        curves = {name: ([], []) for name in names}
        for rows, vocabulary, _ in shapes:
            given = heads.problem(rows, WIDTH, vocabulary, PAIRS, device=_device())
            seconds = timed(names, given, False, rounds)
            for name in names:
                curves[name][0].append(1e3 * seconds[name][1])
                curves[name][1].append(extra_memory(name, (rows, vocabulary), False) / 1e6)
        for row, title in enumerate(("CPU milliseconds", "extra MB")):
            ax = axes[row][column]
            for name, values in curves.items():
                ax.plot([x for *_, x in shapes], values[row], marker="o", label=name)
            ax.set(xscale="log", yscale="log", xlabel=label, ylabel=title)
            ax.set_xticks([x for *_, x in shapes], [f"{x:,}" for *_, x in shapes])
            ax.minorticks_off()
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:,.4g}")
    axes[0][0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100)
    print(f"\ncost over N and V: {path}")


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def _device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def _wait():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine():
    """One line on what this was measured with."""
    on = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{on}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, torch {torch.__version__}"


def main():
    """Both tables and the picture, or the measurement of one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, default=Path("build/bench/kernels.png"))
    parser.add_argument("--no-picture", action="store_true")
    parser.add_argument(
        "--memory", nargs=4, metavar=("NAME", "ROWS", "VOCABULARY", "FROZEN"), help="for its own use"
    )
    args = parser.parse_args()
    if args.memory:
        name, *numbers = args.memory
        print_extra_memory(name, *map(int, numbers[:2]), bool(int(numbers[2])))
        return
    print(machine())
    for frozen in (False, True):
        table(args.rows, args.vocabulary, frozen, args.rounds)
    if not args.no_picture:
        growth(args.picture, max(2, args.rounds // 2))


if __name__ == "__main__":
    main()
