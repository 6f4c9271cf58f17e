# %% [markdown]
# ### Bug 14: better than whom?
#
# `bug-14` · difficulty 2/5 · about 10 minutes · 2 points
#
# **What it is for.** Rollouts for GRPO. `sample(prompt)` draws an answer, `score(prompt, answer)` gives its reward, a float. For each of the `prompts`, which differ, `group_size` (at least 2) answers are drawn, and each gets its advantage: (reward − mean) / (standard deviation + `eps`), mean and sample standard deviation (n − 1) over the answers **to the same prompt**. The result is a list of (prompt, answer, advantage), in any order.
#
# **What was seen.** Easy prompts have positive advantages and hard ones negative, whatever the answers. The policy has become longer-winded on hard prompts and no better. With `prompts` of length 1, as in the unit test, all is well.
#
# Graded: advantages (1.5), as many rows as wanted and prompts unchanged (0.5).
#
# Stuck? Run `hint("bug-14")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-14", "locked": false, "schema_version": 3, "solution": true, "task": false}
def group_rollouts(prompts, group_size, sample, score, eps=1e-4):
    """`group_size` answers for each prompt, each with its advantage: a list of (prompt, answer, advantage)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # batch = list(prompts) * group_size
    # answers = [sample(prompt) for prompt in batch]
    # rewards = torch.tensor([score(p, a) for p, a in zip(batch, answers)], dtype=torch.float64)
    # groups = rewards.view(-1, group_size)
    # mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    # advantages = ((groups - mean) / (std + eps)).flatten()
    # return list(zip(batch, answers, advantages.tolist()))
    ### MENDED
    # p, p, q, q instead of p, q, p, q: now a row of `groups` belongs to one prompt
    batch = [prompt for prompt in prompts for _ in range(group_size)]
    answers = [sample(prompt) for prompt in batch]
    rewards = torch.tensor([score(p, a) for p, a in zip(batch, answers)], dtype=torch.float64)
    groups = rewards.view(-1, group_size)
    mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    advantages = ((groups - mean) / (std + eps)).flatten()
    return list(zip(batch, answers, advantages.tolist()))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-14", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-14", group_rollouts)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-14", group_rollouts)
### END HIDDEN TESTS
