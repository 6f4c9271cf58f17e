"""The rubrics of the five free-response questions, and the words by which a self-check knows a point.

A point of a rubric holds several things to mention; each is known by any of a few patterns, looked for in
the answer after `plain` has made one spelling of its formulas. The patterns are no judgement: they find words.
"""

import re
import unicodedata
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
    (r"[’‘]", "'"),
    (r"\\[,;:!]", " "),
    (r"\\(?:text|mathrm|mathbb|mathbf|mathcal|operatorname|hat|bar|[bB]igg?[lrm]?|left|right|d?frac)\b", " "),
    (r"\\([A-Za-z]+)", r" \1 "),
    (r"π", " pi "),
    (r"β", " beta "),
    (r"σ", " sigma "),
    (r"λ", " lambda "),
    (r"∇", " nabla "),
    (r"Σ", " sum "),
    (r"√", " sqrt "),
    (r"[–—‑−]", "-"),
    (r"\bln\b", " log "),
    (r"[$\\{}*_`^]", " "),
    (r"\s+", " "),
)


def plain(text):
    """The answer in lower case, Greek letters by name, LaTeX and Markdown signs taken out."""
    text = unicodedata.normalize(
        "NFKC", text
    )  # italic Greek letters, ligatures and the like are the plain ones
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
                    "the KL term": r"\bkl\b|kullback|relative entropy",
                    "β as its price": r"\bbeta\b|coefficient|\bweigh(?:t|s|ted)\b|temperature",
                    "the reference policy": r"\bref\b|reference|\bpi ?0\b|(?:base|initial|sft|starting|pretrained) (?:policy|model|checkpoint)",
                },
            ),
            Point(
                2,
                "the closed-form optimum with Z(x), and why Z(x) cannot be computed",
                {
                    "the optimum as reference times exp(r/β)": r"\bexp\b|exponential|\be \(?r|boltzmann|gibbs|softmax|tilt|reweigh",
                    "Z(x)": r"\bz ?\(|\bz\b|partition function|normali[sz]",
                    "why Z(x) is out of reach": r"intractab|cannot be (?:computed|summed|evaluated)|nobody can compute|can't be (?:computed|summed)|infeasible|(?:all|every) (?:possible )?(?:response|text|answer|completion|sequence)|every (?:possible )?(?:string|sequence)|exponentially many|astronomic|sums? over (?:all|every)|not computable|(?:cannot|can't|could not|couldn't|impossible to|hard to|no (?:one|way)[^.]{0,12}|too (?:expensive|costly|large)[^.]{0,12}|not feasible to) ?(?:actually |be )?(?:comput|calculat|evaluat|sum|enumerat)|infinite(?:ly)? many|too many|every (?:text|answer|completion|response)|(?:all|every) (?:strings|texts|outputs?)|enumerat",
                },
            ),
            Point(
                1,
                "the reward solved for: r = β log(π*/π_ref) + β log Z(x)",
                {
                    "the reward in terms of the policy": r"beta ?\(?log.{0,80}\+ ?beta ?\(?log ?\(?z|solve\w* .{0,30}for (?:the )?(?:reward|r\b)|invert|inversion|rearrang|solv\w+ (?:it |this )?for (?:the )?(?:reward|r\b)|(?:express|writ)\w* (?:the )?rewards? (?:in terms|as a function|through|by|using|via)|inverting|invertible|reparam|change of variables",
                },
            ),
            Point(
                2,
                "Bradley–Terry depends on differences only, so Z(x) cancels",
                {
                    "Bradley–Terry": r"bradley|\bbt\b",
                    "the difference of two rewards": r"differen|\br ?\(?\s?w\b|minus|reward (?:gap|margin)|subtract|\by ?w ?\) ?- ?r|margin|r ?\([^)]{0,9}w ?\) ?- ?r",
                    "that the Z term cancels": r"cancel|drops out|disappear|vanish|falls? out|drop(?:s|ped)? out|(?:is|are) gone|goes away|eliminat|subtracts? (?:away|out)|same in both|no longer (?:appears|matters)|removed",
                },
            ),
            Point(
                2,
                "maximum likelihood gives the loss; the policy is an implicit reward model, determined up to f(x): equivalence classes",
                {
                    "the loss": r"log ?\(?(?: ?sigma|sigmoid|s\()|logsigmoid|log-sigmoid|log ?\(? ?1 ?/ ?\(1 ?\+|softplus|logistic (?:loss|regression)|log of (?:the|a) sigm|binary cross|classification loss",
                    "likelihood": r"likelihood|\bmle\b|cross-entropy|\bnll\b|log loss|cross entropy|logistic regression|log-loss|log-lik",
                    "that the policy is an (implicit) reward model": r"implicit|policy is (?:itself )?(?:the|a) reward|policy itself is|secretly|(?:policy|model|lm) (?:itself )?is (?:itself )?(?:the|a) (?:reward model|rm\b)|doubles as|(?:role of|acts? as|serves? as|becomes|itself|works as|seen as|contains) (?:the |a |its own )?(?:own )?reward|reward model (?:in disguise|itself)",
                    "what the reward is determined up to": r"equivalen|up to (?:a|some|any) (?:function|constant)|f ?\(x\)|\bclass of rewards|shift by|function of the prompt|function of x|prompt-dependent shift|(?:up to|modulo)[^.]{0,40}(?:prompt|\bx\b|additive|constant|shift|offset|term)|offset per prompt|same class|(?:offset|shift|constant)[^.]{0,25}(?:per|each|of the|for (?:the|each|every)) prompt",
                },
            ),
            Point(
                1,
                "what it saves: no separate reward model, critic or sampling; two roles in place of four, and the reference can be cached",
                {
                    "no critic": r"critic|value (?:model|function|network)|value[ -](?:head|estimat)|actor-critic",
                    "no sampling": r"sampl|rollout|generat|on-policy|\brl loop|offline|nothing (?:is )?(?:drawn|sampled)|fixed (?:data ?set|set of pairs|pairs)|no (?:reinforcement learning|rl\b)",
                    "two roles instead of four": r"\b(?:two|2) (?:role|model)|\bfour\b|(?:two|2) networks|\b4\b|only (?:the )?policy and|two copies|half (?:of )?the models|(?:three|3) (?:role|model)|policy and (?:a |the )?reference (?:only|suffice)",
                    "that the reference can be cached": r"cache|precomput|beforehand|computed once|pre-comput|cached|in advance|ahead of time|stored (?:once|on disk)|(?:once|only once) (?:and|before|for)|calculated (?:once|before)|ones? pass over the data",
                },
            ),
            Point(
                1,
                "limits: coverage of the data, the Bradley–Terry assumption, over-optimisation persists, equivalence only under conditions",
                {
                    "coverage of the data": r"cover|support|unseen|out of distribution|out-of-distribution|not (?:in|seen in|contained in) the (?:data|training)|\bood\b|off[- ](?:support|distribution|policy)|outside (?:of )?the (?:data|training)|offline data|distribution shift",
                    "that Bradley–Terry is assumed": r"assum|(?:bt|bradley[ -]terry) (?:might|may|can|need)|violated|misspecif|(?:may|might|need|do|does)(?: not|n't)[^.]{0,20}(?:bradley|\bbt\b)|if (?:humans|people|annotators|preferences|labels)[^.]{0,20}(?:bradley|\bbt\b)|presuppos|transitiv|(?:bradley|\bbt\b)[^.]{0,40}(?:holds?|fails?|wrong|only a model|hypothesis)",
                    "that a proxy is left, and can be over-optimised": r"over-?optimi|\bproxy\b|goodhart|reward[- ]hack|over-?fit|exploit|proxies",
                    "conditions of the equivalence": r"condition|only if|provided that|expressive|unrestricted|policy class|(?:unlimited|infinite) data|reali[sz]ab|rich enough|tabular|non-parametric|well-specified|holds? (?:only )?(?:when|if|under)|only (?:when|under|in the limit)|in the limit|in theory|ideal(?:ly|ised)?|enough data|under (?:these |strong )?assumption",
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
                    "a Lagrangian, or Gibbs' inequality": r"lagrang|multiplier|gibbs|kl ?\(? ?pi ?\|+ ?pi ?\*?|stationar|lambda ?x? ?\(? ?(?:1 ?-|sum|x)|\bmu\b|kl\b[^.]{0,40}(?:non-?negative|>= ?0|≥ ?0|zero (?:only|iff|if))|complete the|completing the kl|single kl|\blagr",
                    "the constraint that π sums to 1": r"= ?1\b|sums? to (?:1|one)|summing to|constraint|normali[sz]ation|1 ?- ?\(? ?sum|sum ?(?:y)? ?pi ?(?:\(.{0,9}\))? ?- ?1|normalise[sd]? to|(?:add|adds|adding) up to (?:1|one)|simplex|normali[sz](?:e|ed|ing)|unit mass|valid distribution",
                },
            ),
            Point(
                1,
                "why the stationary point is the unique maximum; positivity and support",
                {
                    "concavity, or another reason for a maximum": r"concav|convex|unique|only maximum|second[- ]derivative|hessian|zero (?:only|iff|if)|iff|if and only if|only at equality|only if|attained (?:only|exactly)|global (?:maxim|optim)|only stationary|single (?:maxim|optim)",
                    "positivity and support": r"positiv|support|pi ref ?(?:\(.{0,12}\))? ?> ?0|wherever|pi ?> ?0|strictly positive|non-?zero|absolutely continuous|full support|> ?0|greater than 0|absolute continuity|finite",
                },
            ),
            Point(
                1,
                "Z(x) identified; the multiplier depends on the prompt",
                {
                    "Z(x) as a sum": r"z ?\(? ?x? ?\)? ?= ?\(?(?: ?sum| ?e\b)|= ?z ?\(x\)|partition|normali[sz](?:er|ing)|z ?\(? ?x? ?\)?:? ?:?=|sums? over (?:all|y)",
                    "one multiplier for each prompt": r"lambda ?\(x\)|(?:one|own|each|per)[ -](?:constraint|multiplier|prompt)|(?:for each|fix a|per|every) prompt|lambda x\b|for each x|each x\b|for every x|fix(?:ed)? x|x-dependent|lambda (?:depends|may depend|is a function)|fixed prompt|prompt by prompt|for a (?:given|fixed|single) (?:x|prompt)|given (?:a |the )?prompt|separately for",
                },
            ),
            Point(
                1,
                "the reward solved for, with β log Z(x) named as a function of the prompt only",
                {
                    "the reward in terms of the policy": r"r ?(?:\(.{0,9}\))? ?= ?beta|rearrang|solv\w+ (?:it |this )?for (?:the )?(?:reward|r\b)|inver(?:t|s)|r\b[^.]{0,25} is beta|reparam|reward (?:in terms of|as a function of)",
                    "that β log Z depends on the prompt only": r"prompt (?:alone|only)|only on (?:the prompt|x)|(?:does not|doesn't|not) depend on (?:y|the response)|function of (?:the prompt|x)|independent of (?:y|the response)|depends only on (?:x|the prompt)|prompt-only|prompt's alone|c ?\(x\)|(?:same|identical|equal|shared|common) (?:for|in|to|by) (?:all|every|each|both|the two)|constant (?:in|for|over|across|with respect)|(?:does not|doesn't|not|without) (?:involve|contain|know|see)|free of|no y\b|same in both|for (?:both|all) responses|only (?:of|through) (?:x|the prompt)|only a function|prompt's",
                },
            ),
            Point(
                2,
                "substitution into Bradley–Terry, cancellation shown",
                {
                    "Bradley–Terry": r"bradley|\bbt\b|b-?t model",
                    "the cancellation": r"cancel|= ?0\b|drops out|(?:drops?|falls?|subtracts?|cancels?|goes|dropped) (?:out|away)|disappear|vanish|eliminat|is gone|same in both",
                },
            ),
            Point(
                1,
                "negative log-likelihood as an expectation over the data, π_θ in place of π*, assumptions named",
                {
                    "the expectation over the data": r"- ?\(? ?e ?(?:d\b|\(|\[)|expect|e ?\[|over the data|\be ?\(? ?(?:x|d|y)\b|\be d\b|averag|mean (?:over|of)|over (?:all )?(?:the )?(?:pairs|dataset|examples|preference)|~ ?d\b|sim ?d\b|data ?set",
                    "π_θ in the place of π*": r"theta|θ|parametri|trainable|neural network|trained policy|replac\w+ pi|policy that (?:we|is) train|learned policy",
                    "the assumptions": r"assum|presuppos|condition|suppos|holds? if|requires? that|provided",
                },
            ),
            Point(
                1,
                "the gradient with its factor −β σ(r̂_l − r̂_w), read rightly: the margin, not the likelihoods",
                {
                    "the gradient": r"nabla|gradient|deriv|d ?l ?/ ?d|partial|differentiat|\bgrad\b",
                    "β in front of it": r"- ?beta ?(?:e ?\[?)? ?\(?sigma|beta ?(?:e ?\[)? ?sigma|- ?beta[ ,.·×]{0,4}(?:e ?\(? ?\[? ?)?(?:\([^)]{0,20}\) ?)?(?:d ?)?\[? ?\(?sigma|factor (?:of )?beta|beta (?:times|in front|as a factor)|factor ?(?:is )?- ?beta|times beta|multiplied by (?:- ?)?beta",
                    "what it does not promise": r"margin|both (?:can|may|could)|does not (?:promise|guarantee)|displace|no (?:guarantee|promise)|(?:not|n't|never) (?:necessarily |say |that |ensure |imply |mean )|difference (?:only|grows|rises|alone)|only the difference|relative|likelihood[s]? (?:can|may|could) (?:fall|drop|sink)",
                },
            ),
            Point(
                1,
                "implementation: completion mask, sum not mean, no gradient into the reference, log 2 at step 0",
                {
                    "the mask of prompt and padding": r"mask|-100|completion[- ]tokens|(?:ignor|exclud|leav|skip|drop|without)\w*[^.]{0,25}(?:prompt|padding)|only (?:the )?(?:completion|response|answer)|response tokens only|completion only",
                    "sums over tokens": r"sum(?:s|med)?\b.{0,40}(?:token|log)|log-prob.{0,40}\bsum|summed|(?:add|adds|added|adding) up|(?:sum|total)\b[^.]{0,60}(?:mean|average|length)|not (?:the )?(?:mean|averag|length)|total log",
                    "the reference without gradient": r"no[ _-]?grad|without (?:a )?gradient|detach|frozen|freeze|no gradient|stop[- ]?grad|not (?:updated|trained|learned)|never (?:updated|trained)|fixed reference|inference[ _]mode|constant reference|gradient (?:only|is blocked|flows only)|kept fixed|eval mode",
                    "log 2 at the start": r"log ?\(?2|0\.69|0[.,]69|logarithm of (?:2|two)|log of (?:2|two)",
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
                    "KTO's votes": r"vote|thumb|binary|unpaired|(?:single|good/bad|up/down|individual|per-response|pointwise|scalar) (?:label|rating|judg|feedback)|desirable|\blikes?\b|no pairs|up- and down|unary|upvote",
                    "ORPO's one stage": r"orpo",
                    "Constitutional AI's two stages": r"constitutional.{0,160}(?:two|then rl|stage)|revis|(?:cai|constitutional)[^.]{0,160}(?:\bsl\b|\bsft\b|supervised|rlaif|critiqu)|critiqu|rlaif",
                    "online DPO's annotator": r"annotator|judge|labell?er|labell?ed by|(?:scored|ranked|rated|compared|judged) by|(?:reward model|\brm) (?:labels|scores|ranks|picks)",
                    "GRPO's groups": r"group|grpo",
                    "who samples: the policy, or a fixed set": r"on-policy|off-policy|fixed set|fresh|its own|online|offline|off-line|on-line|\b(?:on|off) policy|(?:fixed|static|given|existing) (?:data|pairs|preferences|corpus)|rollouts?|live",
                },
            ),
            Point(
                1,
                "the reference model: none for ORPO and SimPO, needed by KTO",
                {
                    "the reference model": r"reference|\bref\b|\bkl to",
                    "SimPO": r"simpo",
                },
            ),
            Point(
                1,
                "costs from counts of passes, or from a cited measurement",
                {
                    "a count of forward and backward passes, or a measurement": r"forward|backward|passes|t[uü]lu|node|\bfwd|\bbwd|\bflops?\b|gpu[- ]hours?|\bpass\b|gradient steps|measured",
                    "what writing responses costs": r"writ|generat|sampling cost|one token after|rollout|decod|sampl\w+[^.]{0,60}(?:expensive|cost|slow|dominat|time)|(?:expensive|cost|slow|dominat)\w*[^.]{0,60}sampl|inference cost",
                },
            ),
            Point(
                2,
                "failures with their mechanism",
                {
                    "over-optimised reward models": r"over-?optimi|not fitted|was fitted|exploit|reward[- ]hack|goodhart|gam(?:e|es|ed|ing) the (?:rm|reward)",
                    "DPO's displaced likelihood": r"less likely|displac|lower the (?:probability|chosen)|only (?:the|a) (?:margin|difference)|(?:chosen|preferred|winner|winning|y ?w|both)[^.]{0,60}(?:fall|drop|sink|shrink|decreas|go down|goes down|lower|lose)|(?:lower|decreas|reduc)\w*[^.]{0,30}(?:chosen|preferred|both)",
                    "IPO's bounded margin": r"1/\(2 ?(?:τ|tau)\)|margin (?:is |of )?bounded|bounded|under-?fit|finite (?:target|margin|gap|optimum)|margin[^.]{0,30}(?:constant|target|finite|fixed|limited|capped|value)|(?:target|fixed|constant|finite)[^.]{0,20}margin|1 2 ?(?:τ|tau)|1 ?/ ?\(?2 ?(?:τ|tau)|regress",
                    "KTO's reference point": r"\bz ?0\b|reference point|kl (?:baseline|estimate|term|reference)|reference[- ]kl|mismatched",
                    "ORPO's two terms in one": r"coupl|ties|one lambda|same lambda|two terms|sft (?:and|term|loss|part)|trade[s-]? ?off|(?:two|both) (?:jobs|goals|parts|losses|objectives|tasks)|(?:single|shared|its) (?:lambda|weight)|one loss|nll",
                    "the judge's errors in Constitutional AI": r"judge'?s? (?:error|bias)|whose errors|errors of the judge|bias of the judge|learns? (?:its|the) judge|bias\w* (?:of|in|from) (?:the )?(?:judge|labell?er|ai|model|feedback|annotator)|feedback[^.]{0,20}bias|(?:mistake|error|blind spot|bias|prejudice)\w*[^.]{0,30}(?:judge|labell?er|feedback model|annotator|critic|constitution|principles)|(?:judge|labell?er|feedback model|ai feedback)[^.]{0,40}(?:wrong|bias|mistake|error|blind|err)|self-(?:preference|enhanc|reinforc)",
                },
            ),
            Point(
                1,
                "a choice by data, access to fresh samples and checkers, with evidence; data before algorithm",
                {
                    "a choice for each kind of data": r"choice|choose|would (?:take|use|pick)|\bpick|\buse \w+ (?:if|when|where|for)|go (?:with|for)|prefer \w+ (?:if|when|where|for)|recommend|\btake \w+ (?:if|when|where)|suits?|best (?:if|when|where|for)|decision|rule of thumb|if you have",
                    "evidence for it": r"et al|t[uü]lu|paper|\((?:19|20)\d\d|20[12]\d|arxiv|stud(?:y|ies)|report(?:s|ed)|experiment|measured|benchmark",
                    "data before algorithm": r"data (?:first|before|than|matter)|better data|from the algorithm|data (?:quality|matters?|is)[^.]{0,40}(?:more|algorithm|method)|method matters less|data[- ]?(?:set)?s?(?: quality)?[^.]{0,25}(?:dominat|outweigh|decid|matters? more|more important|>|counts)|data ?(?:>|before|beats?)|more (?:on|from) (?:the )?data|data-centric",
                },
            ),
            Point(
                1,
                "GRPO is an optimiser, a verifiable reward a source of reward, and it can be hacked",
                {
                    "that optimiser and reward source are two things": r"optimi[sz]er|optimi[sz]ation|\balgorithm|(?:separate|distinct|different|independent|orthogonal) (?:things|choices|questions|axes|concepts)|reward source|source of (?:the )?reward",
                    "that verifiable rewards are hacked": r"hack|gamed|fooled|special-cas|tamper|exploit|cheat|game|gaming|loophole|fool|manipulat",
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
                    "a baseline or an alternative": r"baseline|held against|alternative|filtered|pointwise|best-of-n|liked answers|compar\w+ (?:with|to|against)|against|versus|\bvs\b|\bbco\b|\bsft\b|rejection sampling|reward model|instead of|rather than",
                },
            ),
            Point(
                1.5,
                "what the votes are: self-selected, users' own standards, off-policy, several turns, personal data",
                {
                    "self-selection": r"self-?select|selection bias|unrated|those who (?:vote|choose)|(?:only|few|some|not all|minority|fraction)[^.]{0,30}(?:vote|rate|click|press|answer)|non-?response|not (?:a )?(?:random|representative)|voluntar|selectiv|unrepresentative|biased sample|sample of (?:users|voters)|who votes",
                    "users' own standards": r"own standard|standards|harsh|lenient|differ\w* between users|each user|strict|generous|users? (?:differ|vary)|raters? (?:bias|differ)|calibrat|threshold|tastes?|scale of (?:each|their)|user effects?|subjective|personal (?:scale|bar)",
                    "off-policy answers": r"off-?policy|old model|(?:previous|former|deployed|logged|production|another|other|earlier|current|product'?s?) (?:model|policy|system)|not (?:from|by|written by) (?:the )?(?:new )?(?:policy|model)",
                    "several turns": r"turn|(?:conversation|dialogue?|chat)[^.]{0,20}(?:context|history)|context of|history|earlier messages",
                    "personal data and consent": r"personal data|pii|privacy|consent|agreed|gdpr|anonymi[sz]|pseudonymi|personal(?:ly)? (?:information|identif|detail)|redact|sensitive",
                },
            ),
            Point(
                1.5,
                "cleaning that does not delete users for having few votes; a split without shared users and prompts, or by time; duplicates and disputed answers",
                {
                    "few votes are no reason to drop a user": r"few votes|binomial|credibl|minimum (?:number|count)|posterior|(?:one|single|few|1|two) votes?|at least \d+|\d+ votes|statistical(?:ly)?|significan|beta(?:-binomial)?\b|wilson|confidence|chance|enough votes|small (?:number|sample)s? ",
                    "a split by groups or by time": r"group|connected|no user|by time|by user|newest|temporal|by (?:the )?(?:date|month|week|prompt|conversation)|chronolog|time[- ]based|per[- ]user|user[- ](?:level|disjoint)|later (?:weeks|data|votes)|latest|last (?:month|week)|disjoint|leak",
                    "duplicates": r"duplicat|\bdedup|de-dup|repeated rows|identical rows|copies",
                    "disputed answers": r"disput|both verdicts|contradict|conflict|up and down|mixed|disagree|inconsist|opposite|both (?:up|labels|votes)|conflict",
                },
            ),
            Point(
                2,
                "training: chat template, weights from the cleaned counts, a batch large enough for z0, learning rate and β swept, the reference by switching the adapter off, KL watched",
                {
                    "the chat template": r"template|(?:chat|prompt|message|instruction|conversation)s? (?:format|markup)|\[inst\]|special tokens|same format",
                    "class weights": r"weight|lambda ?d|imbalanc|\blambda|reweigh|class balance|desirable",
                    "the batch, for z0": r"batch|\bz ?0\b",
                    "a sweep": r"swe[ep]|grid|values of beta|tune|(?:try|tried|trying|test|several|different|multiple|range of)[^.]{0,25}(?:learning rate|\blrs?\b|beta|hyper-?param|values)|hyper-?param|search|optuna|ablat|select\w* (?:beta|the learning)",
                    "where the reference comes from": r"adapter|reference",
                    "KL": r"\bkl\b",
                },
            ),
            Point(
                1.5,
                "evaluation: blind, random order, ties, interval and power, length, safety and over-refusal, other abilities",
                {
                    "blinding": r"blind|without knowing|anonym|hid(?:den|e|es)\b|not (?:know|see|told|shown) which|unaware|masked|a/b labels|double-blind",
                    "ties": r"\bties?\b|\bdraws?\b|\btied\b|equally good|half a (?:win|point)|undecided",
                    "an interval": r"interval|wilson|confidence|\bcis?\b|95 ?%|error bar|standard error|bootstrap|uncertainty|±",
                    "power, or how many comparisons": r"power|enough comparisons|number of comparisons|sample size|(?:how many|number of|\d\d+) (?:comparison|judg|pair|prompt|rating|vote)|enough (?:pairs|prompts|judg|data)|large enough|detect a|minimum detectable|\bn ?= ?\d",
                    "length": r"length|longer|verbos|wordy|shorter",
                    "safety": r"safety|harmful|harm|toxic|red[- ]?team|unsafe|jailbreak|safe\b|dangerous",
                    "over-refusal": r"over-?refus|harmless|overrefus|false refus|refus\w+[^.]{0,30}(?:benign|innocent|safe|legitimate|too|harmless)|(?:benign|innocent|legitimate)[^.]{0,30}refus|needless\w* refus|refusal rate",
                    "other abilities": r"abilit|benchmark|regression|capabilit|mmlu|gsm8k|\bskills?\b|other tasks|general (?:knowledge|quality)|forgetting|math|coding",
                },
            ),
            Point(
                1.5,
                "deployment: stable salted assignment, votes joined to answer and model version, validated votes, a small start with guardrails and a way back, a test that fits how often it is looked at",
                {
                    "stable assignment": r"hash|sha|salt|stable|sticky|deterministic|same (?:arm|variant|group|bucket)|consistent assign|bucket",
                    "the join of votes and answers": r"request id|request_id|joined|join|\b(?:request|response|trace|message|answer|turn|interaction|unique|log) ?-?ids?\b|\bid\b|\bids\b|link(?:ed|s)?|tied to|attach|matched to|key(?:ed)?\b",
                    "the model's version": r"version|model[- ]?id|checkpoint|model hash|model (?:tag|name)|which model",
                    "validated votes": r"validat|enum|idempot|spam|stuff|rate[- ]?limit|authentic|check(?:ed)? (?:votes|feedback|input)|schema|one vote per|bots?\b|abuse|sanit|reject(?:s|ed)? (?:unknown|malformed|invalid)",
                    "a small start and a way back": r"roll ?back|rolls back|go back|way back|canary|\d ?% (?:first|of (?:the )?(?:users|traffic))|\bramp|kill[- ]switch|gradual|step by step|revert|undo|switch back|shadow|small (?:share|fraction|part|percentage)|rollout",
                    "guardrails": r"guardrail|latency|error rate|warnings|guard[- ]?(?:metric|rail)|error[- ]rates?|abort|thresholds?|safety (?:metric|monitor)|complaint|stop (?:if|when|rule)",
                    "a test, and how often it is looked at": r"sequential|peek|looked at|significan|two proportions|p-?values?|always[- ]valid|\bz-?test|t-?test|hypothesis|statistical test|chi|early (?:look|stopping)|fixed horizon|pre-?regist|alpha[- ]spend|a/b[- ]test",
                },
            ),
            Point(
                1,
                "iteration: feedback loops and stuffing, a fresh holdout, which reference in each round, alarms against a baseline",
                {
                    "the feedback loop": r"feedback loop|\bloop\b|closes a|self-(?:reinforc|confirm|fulfil)|its own (?:votes|output|answers|data)|amplif|trains? on (?:votes|data|answers) (?:of|from) (?:the )?(?:new|previous|itself)",
                    "a fresh holdout": r"holdout|held-out|fresh test|new test|hold-out|held out|(?:fresh|new|untouched|unseen|another) (?:evaluation|eval|sample|data|set|validation)|test set",
                    "the reference of each round": r"reference (?:stays|in each|is|fixed)|which reference|each round|(?:reference|pi ref)[^.]{0,40}(?:fixed|stay|kept|keep|updat|reset|round|month|each|every|iteration|new|base|same)|(?:fix|keep|reset|updat|freez)\w*[^.]{0,20}(?:reference|pi ref)|(?:each|every) (?:round|iteration|month)[^.]{0,40}reference",
                    "alarms with a baseline": r"alarm|drift|weeks before|alert|monitor|dashboard|anomal|(?:last|previous|prior) (?:week|month)|baseline window|control chart|regression alert|watch",
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
                    "proxy and goal": r"prox|surrogate|stand-in|stands? in for|measure[^.]{0,30}target",
                    "kinds of Goodhart effects": r"regressional|extremal|causal|adversarial",
                    "that gold is synthetic, a model": r"synthetic|gold (?:reward )?model|6 ?b|gold[- ](?:standard )?(?:rm|reward|standard)|simulat|no humans|instead of (?:humans|people)|ground[- ]truth (?:rm|reward)",
                    "the laws in √KL": r"log d|beta ?d\)|sqrt|root of the kl|square root|alpha ?d\b|d ?\( ?alpha|d²|beta ?d|d 2\b|\bd ?= ?",
                    "the effect of the proxy's size": r"larger (?:the )?(?:prox|reward)|size|larger proxies|bigger (?:rm|prox|reward)|rm size|larger rm|smaller (?:prox|rm|reward)|scal(?:e|es|ing)|more parameters|(?:larger|bigger|smaller) (?:\w+ )?(?:models?|rms?|prox\w*|reward)|capacity|parameter count",
                    "the KL penalty": r"kl penalty|penalty|kl penalt|kl regulari|kl term|penali[sz]|kl[- ](?:coefficient|constraint|control|term|regulari[sz]\w*)|regulari[sz]\w*[^.]{0,20}kl",
                    "best-of-n and RL": r"best-of-n|\bbon\b|best of n|rejection sampling|best[- ]of[- ](?:\w+)|reinforcement|ppo|\brl\b",
                    "a documented example": r"document|stiennon|sycophan|boat|example:|coast ?runners|reported|for example|e\.g\.|for instance|gpt-4o|openai|documented|baker|anthropic|observed in|\bcase\b|example",
                },
            ),
            Point(
                2.5,
                "(b) the implicit reward is a proxy; over-optimisation, displacement, deterministic preferences, length by its right mechanism; online data helps and needs an annotator",
                {
                    "that DPO fits a reward": r"implicit|fits a reward|is a reward model|beta ?log ?pi|secretly|(?:is|as|being|becomes|itself) (?:itself |secretly |also |really )?(?:an? |its own |the )?reward model|learns? (?:a|the) reward|reward (?:is )?(?:fitted|learned|learnt)|beta log",
                    "over-optimisation of such methods": r"over-?optimi|same hump|over-?fit|hump|rises? and (?:then )?falls?|degrad|goodhart|too far",
                    "displaced likelihood": r"displac|lose probability|less likely|only the margin|(?:chosen|preferred|winner|y ?w|both)[^.]{0,60}(?:fall|falls|drop|sink|shrink|decreas|go down|goes down|loses?|lower)|lower(?:s|ing)?[^.]{0,30}(?:chosen|both)|probability of (?:the )?(?:chosen|preferred)|margin",
                    "deterministic preferences": r"deterministic|always wins|unanim|p ?\*? ?= ?1|never loses|always (?:prefer|chosen|better|win)|every annotator|certain|unbounded|without (?:a )?(?:bound|finite)|infinit",
                    "length, and why": r"(?:length|longer)[^.]{0,160}(?:sum|token|bootstrap|data)|(?:length|long|longer|verbos\w+)[^.]{0,200}(?:sum|token|bootstrap|data|because|since|correlat|chosen)|(?:sum|token)s?[^.]{0,160}(?:length|longer|verbos)",
                    "online data and its annotator": r"online|on-?policy|iterative|fresh (?:samples|data|responses|preferences)|new samples|own samples",
                },
            ),
            Point(
                2,
                "(c) a verifier is a proxy for a specification: false positives, tampering, answer extraction; correct is not harmless; when it works",
                {
                    "tests as a proxy": r"tests? (?:are|is) a proxy|checks? (?:what|less)|specification|verifiers? (?:is|are) (?:a )?prox|spec\b|checks only|incomplete|tests?[^.]{0,25}(?:prox|approximat|stand in|incomplete|sample of|only|finite|partial)|(?:verif\w+|checker)[^.]{0,25}(?:prox|approximat|incomplete|only|partial)|not the (?:goal|spec|task)|under-?specif",
                    "false positives, with a source": r"false[- ]positive|alphacode|(?:wrong|incorrect|broken|bad)[^.]{0,30}pass|spurious|pass\w*[^.]{0,40}(?:wrong|without being|incorrect|not correct)|lookup|look-up|false pass",
                    "tampering": r"tamper|skip tests?|chang\w+ the tests|edit\w* the tests|exit\(0\)|baker|(?:skip|delet|chang|edit|overwrit|modif|alter|patch|disabl|remov|rewrit|hack)\w*[^.]{0,20}tests?|hard-?cod|special-?cas|sys\.exit|monkey|test (?:file|suite|harness)",
                    "answer extraction or format": r"extract|format|final answer|pars(?:er|ing|e)\b|regex|boxed|string match|exact match|answer match",
                    "that correct is not harmless": r"harmless|not the same as|values|(?:correct|true|right|passing|verified)\w*[^.]{0,60}(?:harm|safe|good|kind|honest|ethic|desirab|helpful|aligned|polite|value|enough)|unsafe|harmful|insecure|vulnerab|impl(?:y|ies) safe|reasoning",
                    "conditions under which it works": r"works where|works when|hidden (?:tests|and)|conditions|(?:ok|fine|safe|reliable|works?|trust\w*) (?:if|only|where|when|as long)|complete (?:verifier|spec)|verifier is complete|only (?:if|when|where)|provided|as long as|suit(?:s|able|ed)|helps? (?:where|when|if)|if (?:the )?(?:tests|verifier|check|spec)|strong|good (?:for|where|when)|appropriate|domains?|many tests|held-?out tests|robust",
                },
            ),
            Point(
                2.5,
                "(d) sources: specification, measurement, shift, oversight; counter-measures with their mechanism and their limit",
                {
                    "specification and measurement": r"specif|written down|measur\w+ imperfect|\bspec\b|cannot be (?:specified|written)|misspecif|(?:write|writing|writt|spell|describe|formali|captur|state|say|express)\w*[^.]{0,40}(?:we want|want|goal|values|intent|complete|fully|values)|imperfect|noisy|measur|hard to (?:define|state)",
                    "the shift of the distribution": r"shift|leaves (?:it|the)|distribution|\bood\b|out[- ]of|off[- ]|extrapolat|far from|outside|new regions?|unseen|where it was (?:fitted|trained)",
                    "oversight that does not scale": r"oversight|cannot check|scal|(?:humans?|people|raters?|annotators?|judges?|we|supervisors?|nobody|reviewers?)[^.]{0,30}(?:can't|cannot|can not|unable|fail|no longer|miss)|supervis|too (?:complex|hard|long)[^.]{0,20}(?:check|judge|evaluate)|overs(?:ee|ight)|evaluat\w+ (?:is|gets) hard",
                    "ensembles, and their limit": r"ensemble.{0,200}(?:shared|same|common|correlat|blind|agree|share|all (?:members|models|of them)|limit|cost|in common|also|still|fail)",
                    "a KL budget or early stopping": r"early stopping|kl budget|kl penalty|stop(?:ping|ped)? early|stop (?:before|when|at)|early[- ]stop|(?:limit|bound|cap|constrain|penali[sz]|control|budget|regulari[sz])\w*[^.]{0,20}kl|kl[^.]{0,20}(?:limit|bound|cap|budget|penal|constrain|control)",
                    "process rewards or watching the reasoning": r"process reward|chain of thought|reasoning trace|\bprms?\b|\bcot\b|chain-of-thought|process (?:supervision|reward)|reasoning monitor|step-level|each step|steps? (?:are|is) (?:reward|check|scor)|stepwise|step[- ]by[- ]step|reward\w*[^.]{0,15}steps?|(?:watch|monitor|read)\w*[^.]{0,25}(?:reasoning|thought|thinking)|scratchpad",
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
