"""The comparison: every method from the same start and on the same budget, trained, metered and measured."""

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from course_utils.evaluation import win_rate
from course_utils.losses import cdpo_loss, rdpo_loss
from course_utils.methods.constitutional import train_constitutional
from course_utils.methods.meter import Meter
from course_utils.methods.offline import train_dpo, train_ipo, train_kto, train_orpo, train_simpo
from course_utils.methods.online import train_grpo, train_online_dpo, train_ppo
from course_utils.methods.start import make_start
from course_utils.policy_gradient import centred_advantages, rloo_advantages
from course_utils.reward_models import train_reward_model
from course_utils.testbed import models, text, verifiers

# Responses that each method may put through its policy's backward pass.
BUDGET = 4800


@dataclass(frozen=True)
class Method:
    """A method and its settings.

    Attributes:
        train: a loop of `methods`.
        settings: what it is called with; "steps", "iterations", "revision_steps" and "drafts" are its length.
        example: what the meter counts as one example.
        judge: what scores samples while it trains: None, "reward model", or a verifier of the text world.
        pushed: settings that push it too far.
    """

    train: callable
    settings: dict
    example: str
    judge: object = None
    pushed: dict = field(default_factory=dict)


METHODS = {
    "PPO-RLHF": Method(
        train_ppo,
        {
            "kl_coef": 0.5,
            "lr": 3e-4,
            "critic_lr": 1e-3,
            "iterations": 50,
            "rollouts": 48,
            "epochs": 2,
            "minibatch": 24,
            "clip": 0.2,
            "lam": 0.95,
        },
        "response",
        "reward model",
        {"kl_coef": 0.0, "iterations": 100},
    ),
    "DPO": Method(
        train_dpo,
        {"beta": 0.5, "lr": 2e-4, "steps": 75, "batch_size": 32},
        "pair",
        pushed={"beta": 0.02, "lr": 1e-3, "steps": 300},
    ),
    "IPO": Method(
        train_ipo,
        {"tau": 0.2, "lr": 3e-4, "steps": 75, "batch_size": 32},
        "pair",
        pushed={"tau": 0.005, "lr": 1e-3, "steps": 300},
    ),
    "KTO": Method(
        train_kto,
        {"beta": 0.5, "lr": 2e-4, "steps": 75, "batch_size": 64},
        "vote",
        pushed={"beta": 0.02, "lr": 1e-3, "steps": 300},
    ),
    "ORPO": Method(
        train_orpo,
        {"lam": 1.0, "lr": 3e-4, "steps": 75, "batch_size": 32},
        "pair",
        pushed={"lam": 20.0, "lr": 3e-3, "steps": 500},
    ),
    "Constitutional AI": Method(
        train_constitutional,
        {
            "drafts": 1000,
            "revision_steps": 25,
            "revision_lr": 1e-3,
            "kl_coef": 0.5,
            "lr": 2e-4,
            "iterations": 50,
            "groups": 8,
            "group_size": 8,
        },
        "response",
        pushed={"kl_coef": 0.0, "lr": 1e-3, "iterations": 100},
    ),
    "online DPO": Method(
        train_online_dpo,
        {"beta": 1.0, "lr": 1e-4, "iterations": 75, "pairs": 32},
        "pair",
        "reward model",
        {"beta": 0.05, "lr": 3e-4, "iterations": 150},
    ),
    "GRPO, verifier": Method(
        train_grpo,
        {"kl_coef": 0.02, "lr": 3e-4, "iterations": 75, "groups": 8, "group_size": 8},
        "response",
        verifiers.whole_answer,
        {"kl_coef": 0.0, "lr": 1e-3, "iterations": 150},
    ),
}

# The same optimiser, settings and budget as "GRPO, verifier", with verifiers that look at less.
GAMED = {
    "GRPO, fact stated": replace(METHODS["GRPO, verifier"], judge=verifiers.states_the_fact),
    "GRPO, fact uncontradicted": replace(METHODS["GRPO, verifier"], judge=verifiers.contradicts_nothing),
}

# Relatives of the eight, measured beside them at full scale.
BESIDE = {
    "SimPO": Method(
        train_simpo, {"beta": 2.0, "gamma": 1.0, "lr": 1e-4, "steps": 75, "batch_size": 32}, "pair"
    ),
    "cDPO": Method(train_dpo, METHODS["DPO"].settings | {"loss": cdpo_loss}, "pair"),
    "rDPO": Method(train_dpo, METHODS["DPO"].settings | {"loss": rdpo_loss}, "pair"),
    "GRPO, reward model": Method(
        train_grpo, {"kl_coef": 0.5, "lr": 2e-4, "iterations": 75}, "response", "reward model"
    ),
    "RLOO, reward model": Method(
        train_grpo,
        {"kl_coef": 0.5, "lr": 2e-4, "iterations": 75, "advantages": rloo_advantages, "average": "token"},
        "response",
        "reward model",
    ),
    "Dr. GRPO, reward model": Method(
        train_grpo,
        {
            "kl_coef": 0.5,
            "lr": 2e-4,
            "iterations": 75,
            "advantages": centred_advantages,
            "average": "constant",
        },
        "response",
        "reward model",
    ),
}


@dataclass(frozen=True)
class Bench:
    """What one seed's runs share.

    Attributes:
        start: a `Start`.
        reward_model: fitted to the start's pairs.
        prompts: (N, 8), for evaluation only.
        base: one sample of the start for each of them.
        base_gold: (N,), the gold rewards of these samples.
        costs: {"SFT": Meter, "reward model": Meter}, what setting up took (SFT's passes are not counted).
        seed: of all of it.
    """

    start: object
    reward_model: torch.nn.Module
    prompts: torch.Tensor
    base: list
    base_gold: torch.Tensor
    costs: dict
    seed: int


def make_bench(seed, sft_steps=300, pairs=3000, reward_steps=300, evaluate=600, progress=None):
    """The start of a seed, a reward model fitted to its pairs, and the prompts on which policies are measured."""
    with Meter() as sft:
        start = make_start(seed, sft_steps, pairs, progress)
    with Meter() as fitting:
        reward_model = train_reward_model(
            start.pairs,
            len(text.VOCABULARY),
            steps=reward_steps,
            seed=seed,
            watch=partial(fitting.watch, "reward model"),
            progress=progress,
        )
    prompts = text.make_prompts(evaluate, seed=50_000 + seed)
    base = models.sample(start.model, prompts, text.MAX_RESPONSE, seed=90_000 + seed)
    costs = {"SFT": sft, "reward model": fitting}
    return Bench(start, reward_model, prompts, base, text.gold_rewards(prompts, base), costs, seed)


def run_method(name, bench, share=1.0, pushed=False):
    """Train one method and measure what came out.

    Args:
        name: a key of `METHODS`, `GAMED` or `BESIDE`.
        bench: a `Bench`.
        share: of the method's length; below 1 a run is too short to say anything.
        pushed: with the settings that push it too far.

    Returns:
        A dict, one row of the table: see `measure`, and "method", "seed", "pushed", "seconds" (CPU),
        "passes" (forward-equivalents an example), "by_role" (all of them, by the model's role), "example" (what that is) and "examples" (how many),
        "generated" (tokens), "models", "peak" (bytes).
    """
    method = {**METHODS, **GAMED, **BESIDE}[name]
    settings = method.settings | (method.pushed if pushed else {})
    for length in ("steps", "iterations", "revision_steps", "drafts"):
        if length in settings:
            settings[length] = max(2, round(share * settings[length]))
    with Meter() as meter:
        judge = ()
        if callable(method.judge):
            judge = (partial(verifiers.rewards, method.judge),)
        elif method.judge:
            judge = (meter.watch("reward model", bench.reward_model).score,)
        policy = method.train(bench.start, *judge, seed=bench.seed, meter=meter, **settings)
    return {
        "method": name,
        "seed": bench.seed,
        "pushed": pushed,
        **measure(policy, bench),
        "seconds": meter.seconds,
        "passes": meter.per_example(),
        "by_role": dict(meter.passes),
        "example": method.example,
        "examples": meter.examples,
        "generated": meter.generated,
        "models": meter.models,
        "peak": meter.peak,
    }


def measure(policy, bench):
    """What a policy does on the evaluation prompts of a `Bench`, one sample each.

    Returns:
        A dict: "gold" (mean) and "gold_se" (its standard error); "kl" from the start in nats per response;
        "win", "win_low", "win_high": win rate in gold against the start's samples, ties half, Wilson's 95 %
        interval; "length" in words; the share that each verifier passes; "variety": of 8 samples for one prompt, the share that differ, averaged
        over the first 40 prompts.
    """
    prompts, seed = bench.prompts, 91_000 + bench.seed
    responses = models.sample(policy, prompts, text.MAX_RESPONSE, seed)
    gold = text.gold_rewards(prompts, responses)
    verdicts = ["a" if g > b else "b" if g < b else "tie" for g, b in zip(gold, bench.base_gold, strict=True)]
    win, low, high = win_rate(verdicts)
    eight = prompts[:40].repeat_interleave(8, dim=0)
    drawn = [tuple(r) for r in models.sample(policy, eight, text.MAX_RESPONSE, seed + 1)]
    groups = [drawn[i : i + 8] for i in range(0, len(drawn), 8)]
    return {
        "gold": gold.mean().item(),
        "gold_se": gold.std().item() / math.sqrt(len(gold)),
        "kl": models.exact_kl(policy, bench.start.model, prompts, responses).mean().item(),
        "win": win,
        "win_low": low,
        "win_high": high,
        "length": sum(map(text.length, responses)) / len(responses),
        **passed(prompts, responses),
        "variety": sum(len(set(group)) for group in groups) / len(drawn),
    }


def passed(prompts, responses):
    """The share of the responses that each verifier passes, by the verifier's name."""
    return {
        verifier.__name__: verifiers.rewards(verifier, prompts, responses).mean().item()
        for verifier in (verifiers.states_the_fact, verifiers.contradicts_nothing, verifiers.whole_answer)
    }


def compare(runs, bench, share=1.0, workers=2, fresh=False, progress=None):
    """Many runs side by side, each in one thread of a worker process of its own.

    A process for each of two cores does more than two threads on one small model, and the seconds and
    the memory that a meter reads there belong to one method (the memory only if the process is fresh).

    Args:
        runs: a list of (name, pushed).
        bench, share: as for `run_method`.
        workers: how many processes at a time.
        fresh: a new process for each run, which takes some seconds to start, so that its memory is its own.
        progress: called with each row as it comes, in any order.

    Returns:
        The rows, in the order of `runs`.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers,
        context,
        initializer=torch.set_num_threads,
        initargs=(1,),
        max_tasks_per_child=1 if fresh else None,
    ) as pool:
        futures = {
            pool.submit(run_method, name, bench, share, pushed): i for i, (name, pushed) in enumerate(runs)
        }
        rows = [None] * len(runs)
        for future in as_completed(futures):
            rows[futures[future]] = future.result()
            if progress:
                progress(future.result())
    return rows
