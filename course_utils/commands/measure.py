"""The long experiments behind the notebooks, run anew and kept in course_utils/measured."""

import time

from rich.console import Console

from course_utils.measured import keep

# The settings, and how many pairs there are, were chosen on seeds 0 to 5.
SEEDS = (6, 7, 8)


def run_measurements():
    """Run every long experiment and write its file; returns an exit status."""
    console = Console()
    for name, experiment in EXPERIMENTS.items():
        start = time.perf_counter()
        rows, settings = experiment(lambda line: console.print(line, highlight=False))
        keep(name, rows, settings, time.perf_counter() - start)
        console.print(f"{name}: {len(rows)} rows in {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


def _method_comparison(say):
    """Notebook 03: the eight methods and their relatives, as stated and pushed too far, on three seeds."""
    from course_utils.methods.compare import BESIDE, BUDGET, GAMED, METHODS, compare, make_bench, passed

    stated = [(name, False) for name in METHODS]
    others = [(name, True) for name in METHODS] + [(name, False) for name in (*GAMED, *BESIDE)]
    rows = []
    for seed in SEEDS:
        bench = make_bench(seed)
        say(f"seed {seed}: the start has gold {bench.base_gold.mean():.2f}")
        common = {"seed": seed, "pushed": False}
        gold = {"gold": bench.base_gold.mean().item(), **passed(bench.prompts, bench.base)}
        for name, meter, more in (
            ("start", bench.costs["SFT"], gold),
            ("reward model", bench.costs["reward model"], {}),
        ):
            rows.append({"method": name, **common, **more, "seconds": meter.seconds})
        # each in a process of its own, since their memory is reported
        rows += compare(stated, bench, fresh=True, progress=lambda row: say(_line(row)))
        rows += compare(others, bench, progress=lambda row: say(_line(row)))
    settings = {"seeds": SEEDS, "budget": BUDGET}
    for name, method in {**METHODS, **GAMED, **BESIDE}.items():
        settings[name] = {
            "stated": _plain(method.settings),
            "pushed": _plain(method.settings | method.pushed) if method.pushed else None,
        }
    return rows, settings


def _trl_parity(say):
    """Notebook 03: our losses and gradients against trl's trainers."""
    from course_utils.trl_parity import PARITY

    rows = []
    for name, function, note in PARITY:
        ours, theirs, gradient = function()
        rows.append({"trainer": name, "ours": ours, "trl": theirs, "gradient": gradient, "note": note})
        say(f"{name}: {ours:.6f} {theirs:.6f} {gradient:.1e}")
    return rows, {"trainers": len(rows)}


def _online_kto(say):
    """Notebook 04: rounds of online KTO with a fixed and a moving reference, on new votes and on all, and one offline round."""
    from course_utils.iteration.rounds import VARIANTS, compare_rounds
    from course_utils.methods.start import make_start

    length = {
        "rounds": 6,
        "votes": 1024,
        "steps": 24,
        "beta": 2.0,
        "lr": 3e-4,
        "batch_size": 64,
        "evaluate": 400,
    }
    rows = []
    for seed in SEEDS:
        start = make_start(seed, sft_steps=300, pairs=1).model
        rows += compare_rounds(
            start, seed, progress=lambda row: say(_round(row)), variants=tuple(VARIANTS), **length
        )
    return rows, {"seeds": SEEDS, "sft_steps": 300, "variants": list(VARIANTS), **length}


EXPERIMENTS = {
    "method_comparison": _method_comparison,
    "trl_parity": _trl_parity,
    "online_kto": _online_kto,
}


def _round(row):
    return f"  seed {row['seed']}  {row['variant']:18} round {row['round']}  gold {row['gold']:5.2f}  KL {row['kl']:5.2f}"


def _line(row):
    kind = "pushed" if row["pushed"] else "stated"
    return f"  {row['method']:22} {kind}  gold {row['gold']:6.2f}  KL {row['kl']:6.2f}  {row['seconds']:5.1f} CPU-s"


def _plain(settings):
    """Functions by their names, so that JSON can hold them."""
    return {key: getattr(value, "__name__", value) for key, value in settings.items()}
