"""The rubrics of the five free-response questions, and the words by which a self-check knows a point.

A point of a rubric holds several things to mention; each is known by any of a few patterns, looked for in
the answer after `plain` has made one spelling of its formulas. The patterns are no judgement: they find words.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One line of a rubric: what it is worth, what for, and {what to mention: pattern}."""

    worth: float
    text: str
    mentions: dict[str, str]


@dataclass(frozen=True)
class Rubric:
    """A question's rubric. `doubtful` are {phrase in words: pattern} that cost a point where they are meant as said."""

    title: str
    points: tuple[Point, ...]
    doubtful: dict[str, str]


# Spellings of formulas, LaTeX or not, that become one.
_SPELLINGS = (
    (r"\\(?:text|mathrm|mathbb|mathbf|mathcal|operatorname|hat|bar|[bB]igg?[lrm]?|left|right|d?frac)\b", " "),
    (r"\\([A-Za-z]+)", r" \1 "),
    (r"π", " pi "),
    (r"β", " beta "),
    (r"σ", " sigma "),
    (r"λ", " lambda "),
    (r"∇", " nabla "),
    (r"Σ", " sum "),
    (r"√", " sqrt "),
    (r"[–—‑]", "-"),
    (r"[$\\{}*_`^]", " "),
    (r"\s+", " "),
)


def plain(text):
    """The answer in lower case, Greek letters by name, LaTeX and Markdown signs taken out."""
    for pattern, new in _SPELLINGS:
        text = re.sub(pattern, new, text)
    return text.lower()


_NO_REWARD_ERROR = r"(?<!not )\bno (?:proxy|reward(?: model)?(?:'s)? error)"
_INVENTED_COST = (
    r"\b\d+(?:\.\d+)? ?(?:times|x) (?:faster|cheaper)|\b0\.[34] ?x|\b\d\d ?% of (?:it|ppo|the cost)"
)

RUBRICS = {
    1: Rubric(
        "how DPO eliminates the reward model",
        (
            Point(
                1,
                "the KL-regularised objective, with β and π_ref",
                {
                    "the KL term": r"\bkl\b|kullback",
                    "β as its price": r"\bbeta\b",
                    "the reference policy": r"\bref\b|reference",
                },
            ),
            Point(
                2,
                "the closed-form optimum with Z(x), and why Z(x) cannot be computed",
                {
                    "the optimum as reference times exp(r/β)": r"\bexp\b|exponential|\be \(?r",
                    "Z(x)": r"\bz ?\(|\bz\b|partition function|normali[sz]",
                    "why Z(x) is out of reach": r"intractab|cannot be (?:computed|summed|evaluated)|nobody can compute|can't be (?:computed|summed)|infeasible|(?:all|every) (?:possible )?(?:response|text|answer|completion|sequence)|every (?:possible )?(?:string|sequence)|exponentially many|astronomic|sums? over (?:all|every)|not computable",
                },
            ),
            Point(
                1,
                "the reward solved for: r = β log(π*/π_ref) + β log Z(x)",
                {
                    "the reward in terms of the policy": r"beta ?\(?log.{0,80}\+ ?beta ?\(?log ?\(?z|solve\w* .{0,30}for (?:the )?(?:reward|r\b)|invert|inversion",
                },
            ),
            Point(
                2,
                "Bradley–Terry depends on differences only, so Z(x) cancels",
                {
                    "Bradley–Terry": r"bradley|\bbt\b",
                    "the difference of two rewards": r"differen|\br ?\(?\s?w\b|minus",
                    "that the Z term cancels": r"cancel|drops out|disappear|vanish",
                },
            ),
            Point(
                2,
                "maximum likelihood gives the loss; the policy is an implicit reward model, determined up to f(x): equivalence classes",
                {
                    "the loss": r"log ?\(?(?: ?sigma|sigmoid|s\()|logsigmoid|log-sigmoid|log ?\(? ?1 ?/ ?\(1 ?\+|softplus",
                    "likelihood": r"likelihood|\bmle\b|cross-entropy|\bnll\b|log loss",
                    "that the policy is an (implicit) reward model": r"implicit|policy is (?:itself )?(?:the|a) reward|policy itself is|secretly|(?:policy|model|lm) (?:itself )?is (?:itself )?(?:the|a) (?:reward model|rm\b)|doubles as",
                    "what the reward is determined up to": r"equivalen|up to (?:a|some|any) (?:function|constant)|f ?\(x\)|\bclass of rewards|shift by|function of the prompt|function of x|prompt-dependent shift",
                },
            ),
            Point(
                1,
                "what it saves: no separate reward model, critic or sampling; two roles in place of four, and the reference can be cached",
                {
                    "no critic": r"critic|value (?:model|function|network)",
                    "no sampling": r"sampl|rollout|generat|on-policy",
                    "two roles instead of four": r"\b(?:two|2) (?:role|model)|\bfour\b|(?:two|2) networks|\b4\b",
                    "that the reference can be cached": r"cache|precomput|beforehand|computed once|pre-comput|cached",
                },
            ),
            Point(
                1,
                "limits: coverage of the data, the Bradley–Terry assumption, over-optimisation persists, equivalence only under conditions",
                {
                    "coverage of the data": r"cover|support|unseen|out of distribution|out-of-distribution",
                    "that Bradley–Terry is assumed": r"assum|(?:bt|bradley[ -]terry) (?:might|may|can|need)|violated|misspecif",
                    "that a proxy is left, and can be over-optimised": r"over-?optimi|\bproxy\b|goodhart",
                    "conditions of the equivalence": r"condition|only if|provided that|expressive|unrestricted|policy class|(?:unlimited|infinite) data|reali[sz]ab|rich enough|tabular|non-parametric|well-specified",
                },
            ),
        ),
        {
            '"one to one" (rewards and policies)': r"one[- ]to[- ]one|bijecti",
            '"converges to" what RLHF finds': r"converges? to",
            '"no proxy" or "no reward error"': _NO_REWARD_ERROR,
            "a speed-up in numbers": _INVENTED_COST + r"|times faster",
        },
    ),
    2: Rubric(
        "derive the DPO loss",
        (
            Point(
                2,
                "per-prompt Lagrangian or Gibbs argument, with the normalisation constraint",
                {
                    "a Lagrangian, or Gibbs' inequality": r"lagrang|multiplier|gibbs|kl ?\(? ?pi ?\|+ ?pi ?\*?|stationar|lambda ?x? ?\(? ?(?:1 ?-|sum|x)|\bmu\b",
                    "the constraint that π sums to 1": r"= ?1\b|sums? to (?:1|one)|summing to|constraint|normali[sz]ation|1 ?- ?\(? ?sum|sum ?(?:y)? ?pi ?(?:\(.{0,9}\))? ?- ?1|normalise[sd]? to",
                },
            ),
            Point(
                1,
                "why the stationary point is the unique maximum; positivity and support",
                {
                    "concavity, or another reason for a maximum": r"concav|convex|unique|only maximum",
                    "positivity and support": r"positiv|support|pi ref ?(?:\(.{0,12}\))? ?> ?0|wherever|pi ?> ?0|strictly positive|non-?zero|absolutely continuous",
                },
            ),
            Point(
                1,
                "Z(x) identified; the multiplier depends on the prompt",
                {
                    "Z(x) as a sum": r"z ?\(? ?x? ?\)? ?= ?\(?(?: ?sum| ?e\b)|= ?z ?\(x\)|partition",
                    "one multiplier for each prompt": r"lambda ?\(x\)|(?:one|own|each|per)[ -](?:constraint|multiplier|prompt)|(?:for each|fix a|per|every) prompt|lambda x\b|for each x|each x\b|for every x|fix(?:ed)? x|x-dependent",
                },
            ),
            Point(
                1,
                "the reward solved for, with β log Z(x) named as a function of the prompt only",
                {
                    "the reward in terms of the policy": r"r ?(?:\(.{0,9}\))? ?= ?beta",
                    "that β log Z depends on the prompt only": r"prompt (?:alone|only)|only on (?:the prompt|x)|(?:does not|doesn't|not) depend on (?:y|the response)|function of (?:the prompt|x)|independent of (?:y|the response)|depends only on (?:x|the prompt)|prompt-only|prompt's alone|c ?\(x\)",
                },
            ),
            Point(
                2,
                "substitution into Bradley–Terry, cancellation shown",
                {
                    "Bradley–Terry": r"bradley|\bbt\b",
                    "the cancellation": r"cancel|= ?0\b|drops out",
                },
            ),
            Point(
                1,
                "negative log-likelihood as an expectation over the data, π_θ in place of π*, assumptions named",
                {
                    "the expectation over the data": r"- ?\(? ?e ?(?:d\b|\(|\[)|expect|e ?\[|over the data",
                    "π_θ in the place of π*": r"theta|θ|parametri",
                    "the assumptions": r"assum",
                },
            ),
            Point(
                1,
                "the gradient with its factor −β σ(r̂_l − r̂_w), read rightly: the margin, not the likelihoods",
                {
                    "the gradient": r"nabla|gradient",
                    "β in front of it": r"- ?beta ?(?:e ?\[?)? ?\(?sigma|beta ?(?:e ?\[)? ?sigma",
                    "what it does not promise": r"margin|both (?:can|may|could)|does not (?:promise|guarantee)|displace",
                },
            ),
            Point(
                1,
                "implementation: completion mask, sum not mean, no gradient into the reference, log 2 at step 0",
                {
                    "the mask of prompt and padding": r"mask|-100",
                    "sums over tokens": r"sum(?:s|med)?\b.{0,40}(?:token|log)|log-prob.{0,40}\bsum",
                    "the reference without gradient": r"no[ _-]?grad|without (?:a )?gradient|detach|frozen|freeze|no gradient",
                    "log 2 at the start": r"log ?\(?2|0\.69",
                },
            ),
        ),
        {
            "a statement on the chosen response's probability": r"chosen (?:answer|response|one) more (?:probable|likely)|(?:raises|increases) the (?:probability|likelihood) of the chosen",
            '"converges to" what RLHF finds': r"converges? to",
        },
    ),
    3: Rubric(
        "compare the methods",
        (
            Point(
                4,
                "the table, cell by cell: reward model, pairs, on- or off-policy, stages, for each method",
                {
                    "PPO": r"\bppo\b",
                    "IPO": r"\bipo\b",
                    "KTO's votes": r"vote|thumb|binary|unpaired",
                    "ORPO's one stage": r"orpo",
                    "Constitutional AI's two stages": r"constitutional.{0,160}(?:two|then rl|stage)|revis",
                    "online DPO's annotator": r"annotator|judge",
                    "GRPO's groups": r"group|grpo",
                    "who samples: the policy, or a fixed set": r"on-policy|off-policy|fixed set|fresh|its own|online|offline|off-line|on-line",
                },
            ),
            Point(
                1,
                "the reference model: none for ORPO and SimPO, needed by KTO",
                {
                    "the reference model": r"reference",
                    "SimPO": r"simpo",
                },
            ),
            Point(
                1,
                "costs from counts of passes, or from a cited measurement",
                {
                    "a count of forward and backward passes, or a measurement": r"forward|backward|passes|t[uü]lu|node",
                    "what writing responses costs": r"writ|generat|sampling cost|one token after",
                },
            ),
            Point(
                2,
                "failures with their mechanism",
                {
                    "over-optimised reward models": r"over-?optimi|not fitted|was fitted|exploit",
                    "DPO's displaced likelihood": r"less likely|displac|lower the (?:probability|chosen)|only (?:the|a) (?:margin|difference)",
                    "IPO's bounded margin": r"1/\(2 ?(?:τ|tau)\)|margin (?:is |of )?bounded|bounded|under-?fit",
                    "KTO's reference point": r"\bz ?0\b|reference point",
                    "ORPO's two terms in one": r"coupl|ties|one lambda|same lambda|two terms",
                    "the judge's errors in Constitutional AI": r"judge'?s? (?:error|bias)|whose errors|errors of the judge|bias of the judge|learns? (?:its|the) judge",
                },
            ),
            Point(
                1,
                "a choice by data, access to fresh samples and checkers, with evidence; data before algorithm",
                {
                    "a choice for each kind of data": r"choice|choose|would (?:take|use|pick)",
                    "evidence for it": r"et al|t[uü]lu|paper",
                    "data before algorithm": r"data (?:first|before|than|matter)|better data|from the algorithm|data (?:quality|matters?|is)[^.]{0,40}(?:more|algorithm|method)|method matters less",
                },
            ),
            Point(
                1,
                "GRPO is an optimiser, a verifiable reward a source of reward, and it can be hacked",
                {
                    "that optimiser and reward source are two things": r"optimi[sz]er",
                    "that verifiable rewards are hacked": r"hack|gamed|fooled|special-cas|tamper",
                },
            ),
        ),
        {
            "IPO next to noise": r"ipo[^.]{0,80}nois",
            "a checker that cannot be fooled": r"(?:cannot|can't|no) (?:be )?(?:fooled|hacked|reward hacking|hacking|gamed)",
            "costs as bare numbers": _INVENTED_COST,
        },
    ),
    4: Rubric(
        "a pipeline for production",
        (
            Point(
                1,
                "method: why KTO, and which baseline or alternative it is held against",
                {
                    "the method": r"\bkto\b",
                    "a baseline or an alternative": r"baseline|held against|alternative|filtered|pointwise|best-of-n|liked answers",
                },
            ),
            Point(
                1.5,
                "what the votes are: self-selected, users' own standards, off-policy, several turns, personal data",
                {
                    "self-selection": r"self-?select|selection bias|unrated|those who (?:vote|choose)",
                    "users' own standards": r"own standard|standards|harsh|lenient|differ\w* between users|each user",
                    "off-policy answers": r"off-?policy|old model",
                    "several turns": r"turn",
                    "personal data and consent": r"personal data|pii|privacy|consent|agreed",
                },
            ),
            Point(
                1.5,
                "cleaning that does not delete users for having few votes; a split without shared users and prompts, or by time; duplicates and disputed answers",
                {
                    "few votes are no reason to drop a user": r"few votes|binomial|credibl|minimum (?:number|count)|posterior",
                    "a split by groups or by time": r"group|connected|no user|by time|by user|newest|temporal",
                    "duplicates": r"duplicat",
                    "disputed answers": r"disput|both verdicts|contradict|conflict",
                },
            ),
            Point(
                2,
                "training: chat template, weights from the cleaned counts, a batch large enough for z0, learning rate and β swept, the reference by switching the adapter off, KL watched",
                {
                    "the chat template": r"template",
                    "class weights": r"weight|lambda ?d",
                    "the batch, for z0": r"batch|\bz ?0\b",
                    "a sweep": r"swe[ep]|grid|values of beta|tune",
                    "where the reference comes from": r"adapter|reference",
                    "KL": r"\bkl\b",
                },
            ),
            Point(
                1.5,
                "evaluation: blind, random order, ties, interval and power, length, safety and over-refusal, other abilities",
                {
                    "blinding": r"blind|without knowing",
                    "ties": r"\bties?\b",
                    "an interval": r"interval|wilson|confidence",
                    "power, or how many comparisons": r"power|enough comparisons|number of comparisons|sample size",
                    "length": r"length|longer",
                    "safety": r"safety|harmful|harm",
                    "over-refusal": r"over-?refus|harmless",
                    "other abilities": r"abilit|benchmark|regression|capabilit",
                },
            ),
            Point(
                1.5,
                "deployment: stable salted assignment, votes joined to answer and model version, validated votes, a small start with guardrails and a way back, a test that fits how often it is looked at",
                {
                    "stable assignment": r"hash|sha|salt|stable",
                    "the join of votes and answers": r"request id|request_id|joined|join",
                    "the model's version": r"version",
                    "validated votes": r"validat|enum|idempot|spam|stuff",
                    "a small start and a way back": r"roll ?back|rolls back|go back|way back|canary",
                    "guardrails": r"guardrail|latency|error rate|warnings",
                    "a test, and how often it is looked at": r"sequential|peek|looked at|significan|two proportions",
                },
            ),
            Point(
                1,
                "iteration: feedback loops and stuffing, a fresh holdout, which reference in each round, alarms against a baseline",
                {
                    "the feedback loop": r"feedback loop|\bloop\b|closes a",
                    "a fresh holdout": r"holdout|held-out|fresh test|new test",
                    "the reference of each round": r"reference (?:stays|in each|is|fixed)|which reference|each round",
                    "alarms with a baseline": r"alarm|drift|weeks before|alert",
                },
            ),
        ),
        {
            "validated or used in production, by whom?": r"production-validated|used (?:in production|at scale)|proven in production",
            "a target in per cent: where from?": r"goal[^.]{0,30}\d\d ?%|target[^.]{0,30}\d\d ?%",
        },
    ),
    5: Rubric(
        "Goodhart's law",
        (
            Point(
                3,
                "(a) proxy and goal, Goodhart with at least two of the four kinds; Gao et al.: synthetic 6B gold, proxies 3M to 3B, laws in d = √KL, larger proxies and more data help, KL penalty like early stopping, best-of-n against RL; a documented example",
                {
                    "proxy and goal": r"prox",
                    "kinds of Goodhart effects": r"regressional|extremal|causal|adversarial",
                    "that gold is synthetic, a model": r"synthetic|gold (?:reward )?model|6 ?b",
                    "the laws in √KL": r"log d|beta ?d\)|sqrt|root of the kl",
                    "the effect of the proxy's size": r"larger (?:the )?(?:prox|reward)|size|larger proxies|bigger (?:rm|prox|reward)|rm size|larger rm|smaller (?:prox|rm|reward)",
                    "the KL penalty": r"kl penalty|penalty|kl penalt|kl regulari|kl term",
                    "best-of-n and RL": r"best-of-n|\bbon\b|best of n|rejection sampling",
                    "a documented example": r"document|stiennon|sycophan|boat|example:",
                },
            ),
            Point(
                2.5,
                "(b) the implicit reward is a proxy; over-optimisation, displacement, deterministic preferences, length by its right mechanism; online data helps and needs an annotator",
                {
                    "that DPO fits a reward": r"implicit|fits a reward|is a reward model|beta ?log ?pi",
                    "over-optimisation of such methods": r"over-?optimi|same hump",
                    "displaced likelihood": r"displac|lose probability|less likely|only the margin",
                    "deterministic preferences": r"deterministic|always wins",
                    "length, and why": r"(?:length|longer)[^.]{0,160}(?:sum|token|bootstrap|data)",
                    "online data and its annotator": r"online",
                },
            ),
            Point(
                2,
                "(c) a verifier is a proxy for a specification: false positives, tampering, answer extraction; correct is not harmless; when it works",
                {
                    "tests as a proxy": r"tests? (?:are|is) a proxy|checks? (?:what|less)|specification|verifiers? (?:is|are) (?:a )?prox|spec\b|checks only|incomplete",
                    "false positives, with a source": r"false[- ]positive|alphacode",
                    "tampering": r"tamper|skip tests?|chang\w+ the tests|edit\w* the tests|exit\(0\)|baker",
                    "answer extraction or format": r"extract|format|final answer",
                    "that correct is not harmless": r"harmless|not the same as|values",
                    "conditions under which it works": r"works where|works when|hidden (?:tests|and)|conditions|(?:ok|fine|safe|reliable|works?|trust\w*) (?:if|only|where|when|as long)|complete (?:verifier|spec)|verifier is complete",
                },
            ),
            Point(
                2.5,
                "(d) sources: specification, measurement, shift, oversight; counter-measures with their mechanism and their limit",
                {
                    "specification and measurement": r"specif|written down|measur\w+ imperfect|\bspec\b|cannot be (?:specified|written)|misspecif",
                    "the shift of the distribution": r"shift|leaves (?:it|the)|distribution",
                    "oversight that does not scale": r"oversight|cannot check|scal",
                    "ensembles, and their limit": r"ensemble[^.]*\.?[^.]*(?:shared|same errors|common)|ensemble[^.]*\.?[^.]*(?:blind spot|correlated|agree|share)",
                    "a KL budget or early stopping": r"early stopping|kl budget|kl penalty",
                    "process rewards or watching the reasoning": r"process reward|chain of thought|reasoning trace|\bprms?\b|\bcot\b|chain-of-thought|process (?:supervision|reward)|reasoning monitor",
                },
            ),
        ),
        {
            "over-optimisation that grows with the proxy's size": r"larger (?:the )?(?:reward model|proxy)[^.]{0,40}(?:stronger|more|worse)",
            "Rice's theorem": r"\brice\b",
            "one KL at which it begins": r"kl ?(?:=|of about|≈) ?50",
            "DPO without a reward model": r"dpo has no (?:reward model|proxy)",
        },
    ),
}
