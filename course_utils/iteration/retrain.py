"""The monthly retraining: from the votes of a month to a decision, in steps that a crash cannot tear.

    export -> defend -> clean -> holdout -> mix -> train -> merge -> evaluate -> decide

Coordinated accounts are looked for before cleaning: a pushed thumb up on what others turned down is a contradiction, and
cleaning would take the honest rows away with it. The cap comes after cleaning, since the rule for one-button users needs
all of a user's votes. The model is trained from the same base each month, which is the fixed reference too.
Nothing here deploys: the last step writes down what the gate says, and a person starts the roll-out.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd

from course_utils.feedback import clean_feedback, load_feedback, to_kto
from course_utils.iteration.evaluate import (
    comparison_sheet,
    ranked_votes,
    rated,
    speaks_text_world,
    win_rate_by_prompt,
)
from course_utils.iteration.files import (
    digest,
    digest_of_log,
    only_one,
    write_if_other,
    write_json,
    write_whole,
)
from course_utils.iteration.holdout import fresh_holdout, month_bounds, row_fingerprints
from course_utils.iteration.mixing import mix_votes
from course_utils.iteration.plan import Plan
from course_utils.iteration.steps import Steps, digests
from course_utils.iteration.stuffing import capped, coordinated_users
from course_utils.serving.store import now

TRAINED = "trained.txt"


def retrain(month, out, base, plan=Plan(), database=None, log=None, previous=(), control=None, say=print):  # noqa: B008
    """Retrain on the votes up to the end of a month and say whether the result may go out.

    Called again, it skips what is done and goes on where it was killed, within the training too; the same inputs end at
    the same weights and the same bytes of decision.json, on the same machine and versions.

    Args:
        month: a text such as "2026-11"; of a database it must be over, since votes would still come.
        out: folder of this month's retraining.
        base: folder of the model that is trained, and the reference.
        plan: a `Plan`.
        database, log: a URL of the service's store, or a file that `load_feedback` reads; one of them.
        previous: folders of earlier retrainings, whose rows no holdout may hold.
        control: folder of the model that the candidate is held against; by default the base.
        say: called with a line for each step.

    Returns:
        The decision, a dict: "decision" ("may go out", "stays", or "open" where the course cannot rate the model's
        answers), "reasons", "counts".

    Raises:
        ValueError: an argument is wrong, the month is not over, or a step in `out` was done from something else.
        Busy: another process is at work in `out`.
    """
    _check(base, control, database, log)
    with only_one(out, "retrain"):
        steps = Steps(out, say)
        votes = _votes(month, database, log)
        trained_before = _trained_before(previous)
        raw = steps.do(
            "export",
            {"votes": digest_of_log(votes)},
            {"month": month},
            lambda folder: _keep(votes, folder / "votes.parquet", rows=len(votes)),
        )
        defended = steps.do("defend", digests(raw), {}, lambda folder: _defend(raw, folder))
        clean = steps.do(
            "clean", digests(defended), {"cap": plan.cap}, lambda folder: _clean(defended, folder, plan.cap)
        )
        split = steps.do(
            "holdout",
            digests(clean) | {"trained before": _digest_of_lines(trained_before)},
            {"month": month, "share": plan.holdout},
            lambda folder: _hold_out(clean, folder, month, plan.holdout, trained_before),
        )
        mixed = steps.do(
            "mix",
            digests(split),
            {"month": month, "share_new": plan.share_new, "rows": plan.rows, "seed": plan.seed},
            lambda folder: _mix(split, folder, month, plan),
        )
        recipe = {k: getattr(plan, k) for k in ("beta", "lr", "steps", "batch_size", "r", "seed")}
        trained = steps.do(
            "train",
            digests(mixed) | {"base": digest(base)},
            recipe,
            lambda folder: _train(mixed, folder, base, recipe, plan.checkpoint_every, say),
            go_on=True,
        )
        merged = steps.do("merge", digests(trained), {}, lambda folder: _merge(trained, folder))
        control = control or base
        rating = {k: getattr(plan, k) for k in ("judgements", "safety_samples", "seed")}
        measured = steps.do(
            "evaluate",
            digests(merged) | digests(split) | {"base": digest(base), "control": digest(control)},
            rating,
            lambda folder: _evaluate(merged, split, folder, base, control, rating),
        )
        counted = (raw, defended, clean, split, mixed)
        decided = steps.do(
            "decision",
            digests(measured) | {k: v for step in counted for k, v in digests(step).items()},
            {"month": month, "margin": plan.margin},
            lambda folder: _decide(measured, folder, month, plan, counted),
        )
        for name in ("decision.json", "decision.md"):  # where a reader looks for them
            write_if_other(Path(out) / name, (decided / name).read_bytes())
        return json.loads((decided / "decision.json").read_text())


# --- what the steps do ---------------------------------------------------------------------------


def _votes(month, database, log):
    start, end = month_bounds(month)
    if database:
        from course_utils.serving.store import open_store

        if now() < end:
            raise ValueError(f"month: {month} is not over; votes that come later would be missing")
        store = open_store(database, make=False)
        votes = store.feedback_frame()
        store.close()
    else:
        votes = load_feedback(log, keep_empty=True)
    votes = votes[votes["timestamp"] < end].sort_values(["timestamp", "conversation_id"], kind="stable")
    if votes.empty or votes["timestamp"].max() < start:
        raise ValueError(f"month: there are no votes of {month}")
    return votes.reset_index(drop=True)


def _defend(raw, folder):
    votes = _read(raw / "votes.parquet")
    pushes = coordinated_users(votes)
    named = sorted({user for push in pushes for user in push.users.index})
    kept = votes[~votes["user_id"].isin(named)]
    told = [
        {
            "kind": p.kind,
            "users": sorted(p.users.index),
            "chance": p.chance,
            "liked": p.liked,
            "usual": p.usual,
        }
        for p in pushes
    ]
    _keep(kept, folder / "votes.parquet", pushes=told, users=len(named), rows_dropped=len(votes) - len(kept))


def _clean(defended, folder, cap):
    kept = clean_feedback(_read(defended / "votes.parquet"))
    months, parts = kept["timestamp"].dt.strftime("%Y-%m"), []
    for month, rows in kept.groupby(months):
        parts.append(capped(rows, cap, month))
    cut = [part.attrs["capped"] for part in parts]
    dropped = kept.attrs["dropped"] | {"over the cap": sum(rows for rows, _ in cut)}
    result = pd.concat(parts).sort_index()
    _keep(result, folder / "votes.parquet", dropped=dropped, rows=len(result))


def _hold_out(clean, folder, month, share, trained_before):
    holdout, trainable = fresh_holdout(_read(clean / "votes.parquet"), month, share, trained_before)
    if holdout.empty:
        raise ValueError(
            f"holdout: none of {month}'s rows is left to hold out; a larger share holds out more"
        )
    trainable.to_parquet(folder / "trainable.parquet")
    _keep(
        holdout,
        folder / "holdout.parquet",
        cut=holdout.attrs["cut"],
        holdout=len(holdout),
        trainable=len(trainable),
    )


def _mix(split, folder, month, plan):
    rows = _read(split / "trainable.parquet")
    new = rows["timestamp"] >= month_bounds(month)[0]
    if plan.share_new < 1 and new.all():
        raise ValueError("share_new: there are no earlier votes to mix in; 1 trains on this month's alone")
    mix = mix_votes(rows[~new], rows[new], plan.share_new, plan.rows or None, plan.seed)
    write_whole(folder / TRAINED, "".join(f"{f}\n" for f in sorted(row_fingerprints(mix.rows))))
    _keep(mix.rows, folder / "votes.parquet", new=mix.new, old=mix.old, weights=mix.weights, up=mix.up)


def _train(mixed, folder, base, recipe, every, say):
    from course_utils.training import train_kto_lora

    weights = json.loads((mixed / "counts.json").read_text())["weights"]
    train_kto_lora(
        base, to_kto(_read(mixed / "votes.parquet")), None, folder, weights=tuple(weights), checkpoint_every=every,
        resume=True, progress=lambda step, loss: say(f"  step {step} of {recipe['steps']}, loss {loss:.4f}"), **recipe,
    )  # fmt: skip
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _merge(trained, folder):
    from course_utils.training import merge_adapter

    merge_adapter(trained / "adapter", folder / "model")


def _evaluate(merged, split, folder, base, control, settings):
    from course_utils.testbed.models import load_model
    from course_utils.training.safety import safety_rates

    candidate, tokenizer = load_model(merged / "model")
    holdout = _read(split / "holdout.parquet")
    if not speaks_text_world(tokenizer):
        write_json(folder / "measured.json", {"rated": False})
        return
    against, first = load_model(control)[0], load_model(base)[0]
    seed = settings["seed"]
    sheet = comparison_sheet(candidate, against, holdout, settings["judgements"], seed)
    places = rated(sheet, seed)
    sheet.assign(place=places, key=sheet.attrs["key"]).to_csv(folder / "judged.csv", index=False)
    faults = [
        safety_rates(model, settings["safety_samples"], seed + i)
        for i, model in enumerate((candidate, against))
    ]
    content = {
        "rated": True,
        "win rate": win_rate_by_prompt(sheet, places),
        "judgements": len(sheet),
        "prompts": int(sheet["prompt"].nunique()),
        "held-out votes ranked right": ranked_votes(candidate, first, holdout),
        "faults": {name: [[r[name].events, r[name].n] for r in faults] for name in faults[0]},
    }
    write_json(folder / "measured.json", _plain(content))


def _decide(measured, folder, month, plan, counted):
    from course_utils.training.safety import Rate, release_gate

    found = json.loads((measured / "measured.json").read_text())
    counts = {step.name: json.loads((step / "counts.json").read_text()) for step in counted}
    if found["rated"]:
        evidence = {"win rate": tuple(found["win rate"])}
        evidence |= {name: tuple(Rate(*pair) for pair in pairs) for name, pairs in found["faults"].items()}
        passes, reasons = release_gate(evidence, plan.margin)
        decision = "may go out" if passes else "stays"
    else:
        decision = "open"
        reasons = [
            "the course can rate answers of the text world only: have these models' answers judged, blind"
        ]
    if users := counts["defend"]["users"]:
        reasons.append(f"to be looked at: {users} accounts were left out as coordinated (defend/counts.json)")
    content = {"month": month, "decision": decision, "reasons": reasons, "measured": found, "counts": counts}
    write_json(folder / "decision.json", content)
    write_whole(folder / "decision.md", _in_words(content))


def _in_words(content):
    counts, found = content["counts"], content["measured"]
    clean, split, mix = counts["clean"], counts["holdout"], counts["mix"]
    lines = [
        f"# Retraining of {content['month']}: the candidate {content['decision']}" if found["rated"] else
        f"# Retraining of {content['month']}: undecided",
        "",
        *(f"- {reason}" for reason in content["reasons"]),
        "",
        "Nothing was deployed. A roll-out starts with a small share of the users.",
        "",
        f"- votes: {counts['export']['rows']:,}; of coordinated accounts {counts['defend']['rows_dropped']:,}",
        "- dropped: " + ", ".join(f"{name} {n:,}" for name, n in clean["dropped"].items()),
        f"- held out: {split['holdout']:,} rows; cut: " + ", ".join(f"{name} {n:,}" for name, n in split["cut"].items()),
        f"- trained on: {mix['new']:,} new and {mix['old']:,} old votes, {mix['up']:.1%} up, weights {mix['weights'][0]:.3f} and {mix['weights'][1]:.3f}",
    ]  # fmt: skip
    if found["rated"]:
        ranked = found["held-out votes ranked right"]
        lines += [
            f"- judged: {found['judgements']} answers to {found['prompts']} held-out prompts; the interval takes the prompt for the unit",
            f"- held-out votes ranked right by the log-ratio: {'one verdict only' if ranked is None else f'{ranked:.3f}'}",
        ]
    return "\n".join(lines) + "\n"


# --- small things --------------------------------------------------------------------------------


def _check(base, control, database, log):
    if bool(database) == bool(log):
        raise ValueError("give a database or a log, one of the two")
    for name, folder in (("base", base), ("control", control)):
        if folder and not (Path(folder) / "config.json").is_file():
            raise ValueError(f"{name}: {folder} holds no config.json, so no model")


def _trained_before(previous):
    found = set()
    for folder in previous:
        file = Path(folder) / "mix" / TRAINED
        if not file.is_file():
            raise ValueError(f"previous: {folder} holds no {file.relative_to(folder)}, so no finished mix")
        found |= set(file.read_text().split())
    return found


def _digest_of_lines(lines):
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _keep(frame, path, **counts):
    frame = frame.copy()
    frame.attrs = {}
    frame.to_parquet(path)
    write_json(path.parent / "counts.json", _plain(counts))


def _read(path):
    return pd.read_parquet(path)


def _plain(content):
    """Without nan, which JSON does not know."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in content.items()}
