"""The long experiments behind the notebooks, run anew and kept in course_utils/measured."""

import inspect
import time

from rich.console import Console

from course_utils.measured import keep

# The settings, and how many pairs there are, were chosen on seeds 0 to 5.
SEEDS = (6, 7, 8)
# Notebook 05: its settings were chosen on seeds 0 to 2 of earlier runs; all five are shown.
GOODHART_SEEDS, THOROUGH_SEEDS = (0, 1, 2, 3, 4), (0, 1, 2)
LABEL_SEEDS = (0, 1, 2)  # trained on certain and flipped labels


def run_measurements(names=()):
    """Run the long experiments of these names, or all, and write a file for each; returns an exit status."""
    console = Console()
    for name in names or EXPERIMENTS:
        experiment = EXPERIMENTS[name]
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


def _overoptimisation(say):
    """Notebook 05: reward models, best-of-n, reinforcement learning, and what is said to help."""
    from course_utils.experiments import mitigations

    rows = []
    for seed in GOODHART_SEEDS:
        rows += mitigations.measure_seed(seed, thorough=seed in THOROUGH_SEEDS, say=say)
    return _rounded(rows), goodhart_settings()["overoptimisation"]


def _frontier(say):
    """Notebook 05: the runs of reinforcement learning looked at closely, without a KL price and with two."""
    from course_utils.experiments import frontier

    rows = [row for seed in GOODHART_SEEDS for row in frontier.measure_seed(seed, say=say)]
    return _rounded(rows), goodhart_settings()["frontier"]


def _trained_labels(say):
    """Notebook 05: DPO, cDPO, rDPO and IPO trained on certain and on flipped labels."""
    from course_utils.experiments import labels

    rows = [row for seed in LABEL_SEEDS for row in labels.measure_seed(seed, say=say)]
    return _rounded(rows), goodhart_settings()["trained_labels"]


def _biased_raters(say):
    """Notebook 05: what DPO learns from raters with a bias, the cures, and DPO walked too far."""
    from course_utils.experiments import bias
    from course_utils.methods import make_start

    rows = [row for seed in THOROUGH_SEEDS for row in bias.measure_seed(make_start(seed), seed, say)]
    return _rounded(rows), goodhart_settings()["biased_raters"]


def _verifier_programs(say):
    """Notebook 05: the program world, five verifiers and three shares of tables in the examples."""
    from course_utils.experiments import programs

    rows = [row for seed in THOROUGH_SEEDS for row in programs.measure_seed(seed, say)]
    return _rounded(rows), goodhart_settings()["verifier_programs"]


def goodhart_settings():
    """What the experiments of notebook 05 are run with: {name: settings}, as the package has them now."""
    from course_utils.experiments import bias, frontier, labels, mitigations, overoptimisation, programs
    from course_utils.methods import make_start

    start = _defaults(make_start)
    pushing = {
        "start": start,
        "proxy": _defaults(overoptimisation.fit_proxy),
        "reinforcement learning": _defaults(overoptimisation.push),
    }
    return {
        "overoptimisation": {
            "seeds": GOODHART_SEEDS,
            "seeds with all mitigations": THOROUGH_SEEDS,
            **pushing,
            **_defaults(mitigations.measure_seed),
            "steps of the mitigations": mitigations.SHORTER,
            "ensemble": mitigations.ENSEMBLE,
        },
        "frontier": {
            "seeds": GOODHART_SEEDS,
            **pushing,
            "prices": frontier.PRICES,
            "steps": frontier.STEPS,
            "looks": frontier.LOOKS,
            "looks with a price": frontier.PRICED_LOOKS,
            "answers to a prompt, at a look and where measured anew": [frontier.EACH, frontier.ANEW],
        },
        "trained_labels": {
            "seeds": LABEL_SEEDS,
            "start": start,
            "training": labels.TRAINING,
            "looks": labels.LOOKS,
            "flips": labels.FLIPS,
            "beta, tau": labels.STRENGTH,
            "smoothing without flips": labels.SMOOTHING,
        },
        "biased_raters": {
            "seeds": THOROUGH_SEEDS,
            "start": start,
            "training": _defaults(bias.train_on_pairs),
            "length": bias.LENGTH_BIAS,
            "agreement": bias.AGREEMENT_BIAS,
            "opening": bias.OPENING_BIAS,
            "cures": {name: _plain(changes) for name, changes in bias.CURES.items()},
            "walk": bias.WALK,
        },
        "verifier_programs": {
            "seeds": THOROUGH_SEEDS,
            "examples": _defaults(programs.make_programmer),
            "training": _defaults(programs.train_on_tests),
            "shares of tables": programs.SHARES,
        },
    }


EXPERIMENTS = {
    "method_comparison": _method_comparison,
    "trl_parity": _trl_parity,
    "online_kto": _online_kto,
    "overoptimisation": _overoptimisation,
    "frontier": _frontier,
    "trained_labels": _trained_labels,
    "biased_raters": _biased_raters,
    "verifier_programs": _verifier_programs,
}


def _round(row):
    return f"  seed {row['seed']}  {row['variant']:18} round {row['round']}  gold {row['gold']:5.2f}  KL {row['kl']:5.2f}"


def _line(row):
    kind = "pushed" if row["pushed"] else "stated"
    return f"  {row['method']:22} {kind}  gold {row['gold']:6.2f}  KL {row['kl']:6.2f}  {row['seconds']:5.1f} CPU-s"


def _defaults(function):
    """The defaults of a function's arguments, without seeds and what only watches."""
    found = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    watching = ("seed", "say", "progress", "watch", "checkpoint")
    return _plain({n: d for n, d in found.items() if d is not inspect.Parameter.empty and n not in watching})


def _plain(settings):
    """Functions by their names, so that JSON can hold them."""
    return {key: getattr(value, "__name__", value) for key, value in settings.items()}


def _rounded(rows):
    """Floats to four places: more would pretend."""
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
