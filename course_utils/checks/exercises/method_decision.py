"""03-method-comparison: the rule of thumb for choosing a method."""

import itertools

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.decisions import recommend_method

# One domain for the parts on the rules: a rule on domains then costs the part on domains alone.
_NEUTRAL = "cooking"
_DOMAINS = (
    "chat",
    "law",
    "translation",
    "poetry",
    "code",
    "maths",
    "math",
    "safety",
    "medicine",
    "reasoning",
    "summarisation",
    "pairs",
)


def _observe_choice(function, case):
    """What is recommended; with domains in the case's extra, in how many of them that is the same."""
    seen = observe_call(function, case)
    if "error" in seen or not case.extra:
        return seen
    choices = [seen["result"]]
    for domain in case.extra:
        other = observe_call(function, Case((case.args[0] | {"domain": domain},)))
        if "error" in other:
            return other
        choices.append(other["result"])
    changed = [d for d, choice in zip(case.extra, choices[1:], strict=True) if choice != choices[0]]
    words = f"another answer for the domain {changed[0]}" if changed else "the same in every domain"
    return {"domains": Missing(words) if changed else words, "inputs": seen["inputs"]}


# --- cases --------------------------------------------------------------------------------------


_SINGLE = ("verifiable", "reward_model", "principles", "thumbs")


def _situations(draw, kinds):
    """All situations with these kinds of feedback, in a drawn order, in a neutral domain."""
    every = list(itertools.product(kinds, ("low", "high"), (False, True), (False, True)))
    for i in draw.permutation(len(every)):
        keys = ("feedback", "compute", "noisy", "fresh_data")
        yield dict(zip(keys, every[i], strict=True)) | {"domain": _NEUTRAL}


def _case(situation, domains=None):
    s = situation
    noise, fresh = "noisy" if s["noisy"] else "not noisy", "fresh" if s["fresh_data"] else "no fresh"
    label = f"{s['feedback']}, compute {s['compute']}, {noise}, {fresh} data"
    return Case((s,), label=label, extra=domains)


def _single_cases(draw):
    return [_case(situation) for situation in _situations(draw, _SINGLE)]


def _pair_cases(draw):
    return [_case(situation) for situation in _situations(draw, ("pairs",))]


def _domain_cases(draw):
    """Two situations of each kind of feedback."""
    drawn = [itertools.islice(_situations(draw, (kind,)), 2) for kind in (*_SINGLE, "pairs")]
    return [_case(situation, _DOMAINS) for pair in drawn for situation in pair]


# --- answers ------------------------------------------------------------------------------------


def _unless(*exceptions):
    """The right answer, but for situations where a condition holds: (condition, method) pairs."""

    def answer(situation):
        return next((m for holds, m in exceptions if holds(situation)), recommend_method(situation))

    return answer


def _pairs(condition):
    return lambda s: s["feedback"] == "pairs" and condition(s)


def _fresh_high(s):
    return s["fresh_data"] and s["compute"] == "high"


def _renamed(old, new):
    return _unless((lambda s: recommend_method(s) == old, new))


def _writing_into(situation):
    situation["method"] = recommend_method(situation)
    return situation["method"]


_TABLE = {
    (feedback, compute, noisy, fresh): (
        {"verifiable": "grpo", "reward_model": "ppo", "principles": "constitutional", "thumbs": "kto"}.get(
            feedback
        )
        or (
            "online-dpo"
            if fresh and compute == "high"
            else "kto"
            if noisy
            else {"low": "orpo"}.get(compute, "dpo")
        )
    )
    for feedback in ("verifiable", "reward_model", "principles", "thumbs", "pairs")
    for compute in ("low", "high")
    for noisy in (False, True)
    for fresh in (False, True)
}


def _by_table(situation):
    return _TABLE[tuple(situation[key] for key in ("feedback", "compute", "noisy", "fresh_data"))]


def _by_match(situation):
    match situation:
        case {"feedback": "verifiable"}:
            return "grpo"
        case {"feedback": "reward_model"}:
            return "ppo"
        case {"feedback": "principles"}:
            return "constitutional"
        case {"feedback": "pairs", "fresh_data": True, "compute": "high"}:
            return "online-dpo"
        case {"feedback": "thumbs"} | {"noisy": True}:
            return "kto"
        case {"compute": "low"}:
            return "orpo"
        case _:
            return "dpo"


def _by_ifs(situation):
    feedback, compute = situation["feedback"], situation["compute"]
    if feedback == "verifiable":
        method = "grpo"
    elif feedback == "reward_model":
        method = "ppo"
    elif feedback == "principles":
        method = "constitutional"
    elif feedback == "thumbs":
        method = "kto"
    elif compute == "high":
        method = "online-dpo" if situation["fresh_data"] else ("kto" if situation["noisy"] else "dpo")
    else:
        method = "kto" if situation["noisy"] else "orpo"
    return method


def _by_pandas(situation):
    import pandas as pd

    s = pd.Series(situation)
    pairs = [
        (s.fresh_data & (s.compute == "high"), "online-dpo"),
        (s.noisy, "kto"),
        (s.compute == "low", "orpo"),
    ]
    kinds = zip(
        ("verifiable", "reward_model", "principles", "thumbs"),
        ("grpo", "ppo", "constitutional", "kto"),
        strict=True,
    )
    rules = pd.DataFrame([*((s.feedback == kind, method) for kind, method in kinds), *pairs, (True, "dpo")])
    return rules.loc[rules[0].astype(bool), 1].iloc[0]


def _with_keywords(situation):
    def choose(feedback, compute, noisy, fresh_data, **_):
        direct = dict(verifiable="grpo", reward_model="ppo", principles="constitutional", thumbs="kto")
        if feedback in direct:
            return direct[feedback]
        return (
            (fresh_data and compute == "high" and "online-dpo")
            or (noisy and "kto")
            or {"low": "orpo", "high": "dpo"}[compute]
        )

    return choose(**situation)


RECOMMEND_METHOD = Exercise(
    id="recommend-method",
    function="recommend_method",
    reference=recommend_method,
    observe=_observe_choice,
    parts=(
        Part("feedback that is not pairs", 1.5, _single_cases, independent=True),
        Part("pairs", 2, _pair_cases, independent=True),
        Part("the domain changes nothing, situation unchanged", 0.5, _domain_cases, ("domains", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "ipo-for-noise",
            _unless((_pairs(lambda s: s["noisy"] and not _fresh_high(s)), "ipo")),
            "IPO was made for preferences that are (nearly) certain, not for noisy labels; the rule names another",
        ),
        Misconception(
            "cdpo-for-noise",
            _unless((_pairs(lambda s: s["noisy"] and not _fresh_high(s)), "cdpo")),
            "cDPO is made for noisy labels indeed, but the rule names another method",
        ),
        Misconception(
            "noise-before-online",
            _unless((_pairs(lambda s: s["noisy"]), "kto")),
            "the rule on noise was asked before the one on fresh data and high compute",
        ),
        Misconception(
            "cost-before-noise",
            _unless((_pairs(lambda s: s["compute"] == "low"), "orpo")),
            "the rule on low compute was asked before the one on noise",
        ),
        Misconception(
            "noise-ignored",
            _unless(
                (_pairs(lambda s: s["noisy"] and not _fresh_high(s) and s["compute"] == "low"), "orpo"),
                (_pairs(lambda s: s["noisy"] and not _fresh_high(s)), "dpo"),
            ),
            "whether the labels are noisy made no difference; with pairs there is a rule on it",
        ),
        Misconception(
            "noise-to-dpo",
            _unless((_pairs(lambda s: s["noisy"] and not _fresh_high(s)), "dpo")),
            "noisy pairs went to DPO; the rule names another method",
        ),
        Misconception(
            "online-for-fresh-alone",
            _unless((_pairs(lambda s: s["fresh_data"]), "online-dpo")),
            "fresh data alone gave online DPO; compute must be high too",
        ),
        Misconception(
            "online-for-compute-alone",
            _unless((_pairs(lambda s: s["compute"] == "high"), "online-dpo")),
            "high compute alone gave online DPO; new samples must be judged too",
        ),
        Misconception(
            "online-for-either",
            _unless((_pairs(lambda s: s["fresh_data"] or s["compute"] == "high"), "online-dpo")),
            "online DPO came with fresh data or high compute; both are needed",
        ),
        Misconception(
            "online-never",
            _unless(
                (_pairs(lambda s: _fresh_high(s) and s["noisy"]), "kto"),
                (_pairs(_fresh_high), "dpo"),
            ),
            "online DPO never came; with fresh data and high compute it does",
        ),
        Misconception(
            "online-low",
            _unless(
                (_pairs(lambda s: s["fresh_data"] and s["compute"] == "low"), "online-dpo"),
                (_pairs(lambda s: _fresh_high(s) and s["noisy"]), "kto"),
                (_pairs(_fresh_high), "dpo"),
            ),
            "online DPO came with low compute; it samples and judges while it trains, so it needs high",
        ),
        Misconception(
            "orpo-never",
            _unless((_pairs(lambda s: s["compute"] == "low" and not s["noisy"]), "dpo")),
            "low compute made no difference; without a reference model there is something cheaper than DPO",
        ),
        Misconception(
            "orpo-and-dpo-exchanged",
            _unless(
                (lambda s: recommend_method(s) == "orpo", "dpo"),
                (lambda s: recommend_method(s) == "dpo", "orpo"),
            ),
            "low and high compute are exchanged in the last two rules",
        ),
        Misconception(
            "simpo",
            _renamed("orpo", "simpo"),
            "SimPO has no reference model either, but the rule names another method for low compute",
        ),
        Misconception(
            "ipo-at-the-end",
            _renamed("dpo", "ipo"),
            "what is left in the end is not IPO; the last rule names the method that the others are measured by",
        ),
        Misconception(
            "noise-first",
            _unless((lambda s: s["noisy"], "kto")),
            "noise was asked about before the kind of feedback; the feedback comes first",
        ),
        Misconception(
            "fresh-first",
            _unless((_fresh_high, "online-dpo")),
            "fresh data and compute were asked about before the kind of feedback; the feedback comes first",
        ),
        Misconception(
            "cost-first",
            _unless((lambda s: s["compute"] == "low", "orpo")),
            "low compute was asked about before the kind of feedback; the feedback comes first",
        ),
        Misconception(
            "thumbs-if-noisy",
            _unless((lambda s: s["feedback"] == "thumbs" and not s["noisy"], "dpo")),
            "thumbs gave KTO only where they are noisy; that does not matter there",
        ),
        Misconception(
            "thumbs-to-dpo",
            _unless((lambda s: s["feedback"] == "thumbs", "dpo")),
            "DPO needs pairs; thumbs are judgements of single answers",
        ),
        Misconception(
            "thumbs-like-pairs",
            lambda s: recommend_method(s | ({"feedback": "pairs"} if s["feedback"] == "thumbs" else {})),
            "thumbs were treated like pairs; they are judgements of single answers and have a rule of their own",
        ),
        Misconception(
            "verifiable-to-ppo",
            _unless((lambda s: s["feedback"] == "verifiable", "ppo")),
            "where answers can be verified the rule names another method than PPO",
        ),
        Misconception(
            "rlvr",
            _renamed("grpo", "rlvr"),
            "RLVR is where the reward comes from; the method that optimises it is wanted",
        ),
        *(
            Misconception(
                f"grpo-if-fresh-else-{other}",
                _unless((lambda s: s["feedback"] == "verifiable" and not s["fresh_data"], other)),
                "verifiable answers gave another method without fresh data; that does not matter there",
            )
            for other in ("dpo", "ppo", "orpo", "kto")
        ),
        *(
            Misconception(
                f"ppo-if-fresh-else-{other}",
                _unless((lambda s: s["feedback"] == "reward_model" and not s["fresh_data"], other)),
                "a reward model gave another method without fresh data; that does not matter there",
            )
            for other in ("dpo", "orpo", "kto")
        ),
        Misconception(
            "grpo-if-compute",
            _unless((lambda s: s["feedback"] == "verifiable" and s["compute"] == "low", "dpo")),
            "verifiable answers gave another method for low compute; that does not matter there",
        ),
        Misconception(
            "reward-model-to-grpo",
            _renamed("ppo", "grpo"),
            "with a reward model the rule names another method than GRPO",
        ),
        Misconception(
            "ppo-if-compute",
            _unless((lambda s: s["feedback"] == "reward_model" and s["compute"] == "low", "dpo")),
            "a reward model gave another method for low compute; that does not matter there",
        ),
        Misconception(
            "ppo-and-grpo-exchanged",
            _unless(
                (lambda s: s["feedback"] == "verifiable", "ppo"),
                (lambda s: s["feedback"] == "reward_model", "grpo"),
            ),
            "verifiable answers and a reward model are exchanged",
        ),
        Misconception(
            "rlhf",
            _renamed("ppo", "rlhf"),
            "RLHF is the whole pipeline; the method inside it is wanted",
        ),
        Misconception(
            "cai", _renamed("constitutional", "cai"), 'principles give the word "constitutional", written out'
        ),
        Misconception(
            "constitutional-ai",
            _renamed("constitutional", "constitutional ai"),
            'principles give the word "constitutional" alone',
        ),
        Misconception(
            "rlaif",
            _renamed("constitutional", "rlaif"),
            'principles give the word "constitutional"',
        ),
        Misconception(
            "underscore",
            _renamed("online-dpo", "online_dpo"),
            'the word is "online-dpo", with a hyphen',
        ),
        Misconception(
            "space", _renamed("online-dpo", "online dpo"), 'the word is "online-dpo", with a hyphen'
        ),
        Misconception(
            "capitals",
            lambda s: recommend_method(s).upper(),
            "the names are in capitals; small letters are wanted",
        ),
        Misconception("listed", lambda s: [recommend_method(s)], "a list came back; return the name itself"),
        Misconception(
            "with-a-reason",
            lambda s: (recommend_method(s), "because the rule says so"),
            "more than the name came back; return the name alone",
        ),
        Misconception(
            "printed",
            lambda s: print(recommend_method(s)),
            "nothing came back; was the name printed, not returned?",
        ),
        Misconception(
            "code-to-grpo",
            _unless((lambda s: s["domain"] in ("code", "maths", "math", "reasoning"), "grpo")),
            "code and maths gave GRPO whatever the feedback; the domain changes nothing",
        ),
        Misconception(
            "chat-to-kto",
            _unless((lambda s: s["domain"] == "chat", "kto")),
            "chat gave KTO whatever the feedback; the domain changes nothing",
        ),
        Misconception(
            "safety-to-constitutional",
            _unless((lambda s: s["domain"] == "safety", "constitutional")),
            "safety gave a constitution whatever the feedback; the domain changes nothing",
        ),
        Misconception(
            "situation-written",
            _writing_into,
            "the situation was changed (written into, or a key taken out by pop); leave it as it is",
        ),
    ),
    alternatives={
        "table": _by_table,
        "match": _by_match,
        "if and elif": _by_ifs,
        "pandas": _by_pandas,
        "keywords": _with_keywords,
    },
    hints=(
        "Ask about the kind of feedback first: four of the five kinds decide alone.",
        "With pairs, ask in the order of the list; the first rule that holds decides.",
        "The last rule needs no condition: it is what is left.",
    ),
)
