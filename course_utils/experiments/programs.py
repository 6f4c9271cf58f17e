"""Training on the program world: a model that sometimes writes tables, and GRPO against verifiers of different reach."""

import copy

import torch

from course_utils.logprobs import IGNORE, token_logprobs
from course_utils.methods.start import updates
from course_utils.policy_gradient import group_advantages, mean_over_tokens
from course_utils.testbed import models, programs


def make_programmer(seed, tables=0.25, steps=450, examples=6000):
    """A small model fine-tuned on example programs, a share of which are tables of the visible tests."""
    tasks = programs.make_tasks(examples, seed)
    model = models.small_model(len(programs.VOCABULARY), seed=seed)
    answers = programs.example_programs(tasks, tables, seed)
    models.train_on_examples(model, programs.prompts_of(tasks), answers, steps, lr=5e-3, seed=seed)
    return model


def train_on_tests(model, verifier, iterations=60, groups=16, group_size=8, lr=3e-4, seed=0, progress=None):
    """GRPO (Shao et al. 2024) with a verifier's 0 or 1, no KL term, the mean over tokens.

    Args:
        model: copied, not changed.
        verifier: from (task, response, seed) to 0 or 1.
        iterations, groups, group_size, lr, seed: of the training.
        progress: called with a dict "iteration", "reward", "visible", "hidden", "tables" of each round, or None.

    Returns:
        The trained policy.
    """
    policy = copy.deepcopy(model)
    update = updates(policy, lr)
    for iteration in range(iterations):
        tasks = programs.make_tasks(groups, f"{seed} {iteration}")
        tasks = [task for task in tasks for _ in range(group_size)]
        prompts = programs.prompts_of(tasks)
        drawn = models.sample(policy, prompts, programs.MAX_RESPONSE, 1000 * seed + iteration)
        reward = torch.tensor(
            [
                verifier(t, r, f"{seed} {iteration} {i // group_size}")
                for i, (t, r) in enumerate(zip(tasks, drawn, strict=True))
            ]
        )
        ids = torch.cat([prompts, models.pad_rows(drawn, 0)], dim=1)
        labels = torch.cat([torch.full_like(prompts, IGNORE), models.pad_rows(drawn, IGNORE)], dim=1)
        logp, mask = token_logprobs(policy(ids).logits, labels), labels[:, 1:] != IGNORE
        gain = group_advantages(reward, group_size)[:, None].expand_as(logp)
        # one update for each round: the ratio of new and old policy is 1, its gradient that of log p
        update(mean_over_tokens(-gain * logp, mask, "token"))
        if progress:
            progress({"iteration": iteration + 1, "reward": reward.mean().item(), **passed(tasks, drawn)})
    return policy


def measure(policy, seed=0, count=512):
    """What a policy's programs do on fresh tasks: see `passed`, and the "gap" of the mean shares of tests.

    Returns:
        (dict, tasks, responses)
    """
    tasks = programs.make_tasks(count, f"evaluation {seed}")
    drawn = models.sample(policy, programs.prompts_of(tasks), programs.MAX_RESPONSE, 99_000 + seed)
    gap = sum(
        programs.share_passed(t, r, t.visible) - programs.share_passed(t, r, t.hidden())
        for t, r in zip(tasks, drawn, strict=True)
    )
    return {**passed(tasks, drawn), "gap": gap / count}, tasks, drawn


def passed(tasks, responses):
    """Shares of programs that pass all "visible" tests, all "hidden" ones, and that are "tables"."""
    both = list(zip(tasks, responses, strict=True))
    return {
        "visible": sum(programs.share_passed(t, r, t.visible) == 1 for t, r in both) / len(both),
        "hidden": sum(programs.share_passed(t, r, t.hidden()) == 1 for t, r in both) / len(both),
        "tables": sum(programs.is_table(r) for r in responses) / len(both),
    }


SHARES = (0.25, 0.15, 0.05)  # of tables in the examples


def measure_seed(seed, say=print):
    """All verifiers on one seed, and the visible tests alone after less and more tables in the examples.

    Returns:
        Rows "seed", "tables in the examples", "verifier" (None: before GRPO), "iterations", "visible", "hidden", "tables", "gap".
    """
    rows = []
    for share in SHARES:
        model = make_programmer(seed, share)
        common = {"seed": seed, "examples": share}
        rows.append(
            {**common, "verifier": "none: after fine-tuning", "iterations": 0, **measure(model, seed)[0]}
        )
        trained = programs.VERIFIERS if share == 0.25 else {"the two visible tests": programs.visible_tests}
        for name, verifier in trained.items():
            iterations = 60 if verifier is not programs.visible_tests else 100 if share == 0.25 else 150
            policy = train_on_tests(model, verifier, iterations, seed=seed)
            rows.append({**common, "verifier": name, "iterations": iterations, **measure(policy, seed)[0]})
            say(
                f"seed {seed}, tables {share}: {name}: visible {rows[-1]['visible']:.2f}, hidden {rows[-1]['hidden']:.2f}"
            )
    return rows
