"""The weekly report as a page and a picture."""

import io

import matplotlib.pyplot as plt

from course_utils import plots

MARKS = {None: "cannot say", True: "yes", False: "no"}


def page(content):
    """The report in Markdown."""
    week, found = content["week"], content["baseline weeks"]
    lines = [
        f"# Week {week}",
        "",
        f"Against {found['found']} of the {found['asked']} weeks before it.",
        "",
        "## What to do",
        "",
        *(f"- {sentence}" for sentence in content["to do"]),
        "",
        "## Variants",
        "",
        "| variant | answers | votes | votes an answer | users who voted | thumbs up | p95 latency | mean length |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, v in content["variants"].items():
        lines.append(
            f"| {name} | {v['answers']:,} | {v['votes']:,} | {v['votes an answer']:.1%} | {v['users who voted']:,} "
            f"| {_approval(v['approval'])} | {1000 * v['p95 latency']:.0f} ms | {v['mean length']:.0f} characters |"
        )
    lines += ["", "Intervals are 95 %, with the user as the unit."]
    for salt, seen in content["experiments"].items():
        arms = "; ".join(
            f"{name} {'no votes' if arm['approval'] is None else format(arm['approval'], '.1%')} "
            f"of {arm['votes']:,} votes of {arm['users']:,} users"
            for name, arm in seen.items()
            if name != "decision"
        )
        lines += [
            "",
            f"Experiment {salt!r}, all votes so far: {arms}. The rule says: **{seen['decision']}**.",
        ]
    if content["watched"]:
        lines += [
            "",
            "## Watched",
            "",
            "| measure | this week | limit | above it | creeps | weeks |",
            "|---|---|---|---|---|---|",
        ]
        for name, seen in content["watched"].items():
            lines.append(
                f"| {name} | {seen['value']:.4g} | {seen['limit']:.4g} | {MARKS[seen['alarm']]} "
                f"| {MARKS[seen['creeps']]} | {seen['weeks']} |"
            )
    lines += ["", "## Users", ""]
    if users := content["one-button users"]:
        rest = users["approval without them"]
        lines.append(
            f"- pressing one button only: {users['users']:,} of the users, with {users['share of the votes']:.1%} of the votes"
            + ("." if rest is None else f"; without them {rest:.1%} are thumbs up.")
        )
    for push in content["coordinated"]:
        lines.append(
            f"- coordinated on '{push['kind']}': {len(push['users'])} accounts, {push['votes this week']} votes this week."
        )
    for surge in content["surges"]:
        lines.append(
            f"- surge of '{surge['kind']}', {surge['measure']}: {surge['value']:.1%}, limit {surge['limit']:.1%}."
        )
    if not content["coordinated"] and not content["surges"]:
        lines.append("- no coordinated accounts and no surge seen.")
    if content["cannot say"]:
        lines += [
            "",
            "## What this report cannot say",
            "",
            *(f"- {words}" for words in content["cannot say"]),
        ]
    return "\n".join([*lines, "", f"![approval and alarms](report-{week}.png)", ""])


def figure(content):
    """Left: thumbs up in each week, this week's with its interval by variant. Right: each measure over its limit."""
    fig, (approval, limits) = plots.figure(columns=2, size=(11, 3.6))
    weeks = list(content["weeks"])
    ups = [
        1 - w["thumbs down"] if w["thumbs down"] is not None else float("nan")
        for w in content["weeks"].values()
    ]
    approval.plot(range(len(weeks)), ups, marker="o", markersize=3, label="all votes of a week")
    for i, (name, v) in enumerate(content["variants"].items()):
        if v["approval"] and v["approval"][1] is not None:
            rate, low, high = v["approval"]
            at = len(weeks) - 0.6 + 0.5 * i
            approval.errorbar(
                [at], [rate], [[rate - low], [high - rate]],
                fmt="s^"[i % 2], color=plots.COLOURS[1 + i % 2], capsize=3, label=f"{name}, this week",
            )  # fmt: skip
    step = max(1, len(weeks) // 5)
    approval.set_xticks(range(0, len(weeks), step), [w[2:] for w in weeks[::step]])
    approval.set(xlabel="week", ylabel="share of thumbs up")
    approval.legend()
    watched = content["watched"]
    names = list(watched)
    ratio = [seen["value"] / seen["limit"] if seen["limit"] else 0.0 for seen in watched.values()]
    hatches = ["//" if seen["alarm"] else "" for seen in watched.values()]
    for i, (value, hatch) in enumerate(zip(ratio, hatches, strict=True)):
        colour = plots.COLOURS[1] if hatch else plots.COLOURS[0]
        limits.barh(i, value, color=colour, hatch=hatch, edgecolor="white")
    limits.axvline(1, color=plots.COLOURS[2], linestyle="--")
    limits.set_yticks(range(len(names)), names)
    limits.invert_yaxis()
    limits.set(xlabel="this week, as a share of the limit of quiet weeks (dashed)")
    limits.grid(axis="y", visible=False)
    if not names:
        limits.text(0.5, 0.5, "too few weeks before", ha="center", transform=limits.transAxes)
    return fig


def picture(content):
    """The figure as the bytes of a PNG, the same for the same content."""
    fig, buffer = figure(content), io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(fig)
    return buffer.getvalue()


def _approval(approval):
    if approval is None:
        return "no votes"
    rate, low, high = approval
    return f"{rate:.1%}" + ("" if low is None else f" [{low:.1%}, {high:.1%}]")
