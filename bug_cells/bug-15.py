# %% [markdown]
# ### Bug 15: a clip that never clips
#
# `bug-15` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** PPO's inner loop. `actions` (N,) were drawn from the policy as it comes in; `policy(states)` gives logits (N, V), `advantages` is (N,). `epochs` updates are made, each on all the rollouts, with the loss mean of −min(ρA, clip(ρ, 1 − clip, 1 + clip)·A) (Schulman et al. 2017, equation 7). ρ is the policy's probability of the action now, divided by what it was **when the action was drawn**. `optimizer` holds the policy's parameters; its gradients are cleared before each update. The policy itself is returned.
#
# **What was seen.** The panel "share of clipped ratios" reads 0.000 in every run. With one epoch training is fine; with four, which should save rollouts, it falls apart, and a smaller `clip` does not help.
#
# Graded: weights after the updates (2.5), the policy itself comes back and rollouts unchanged (0.5).
#
# Stuck? Run `hint("bug-15")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-15", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ppo_updates(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    """`epochs` updates of the policy on one set of rollouts, each on all of them; returns the policy."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # for _ in range(epochs):
    #     logp = policy(states).log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)
    #     old_logp = logp.detach()
    #     ratio = (logp - old_logp).exp()
    #     clipped = ratio.clamp(1 - clip, 1 + clip)
    #     loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
    #     optimizer.zero_grad()
    #     loss.backward()
    #     optimizer.step()
    # return policy
    ### MENDED
    old_logp = None
    for _ in range(epochs):
        logp = policy(states).log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)
        if old_logp is None:  # those of the policy that drew the actions: taken once, before the first update
            old_logp = logp.detach()
        ratio = (logp - old_logp).exp()
        clipped = ratio.clamp(1 - clip, 1 + clip)
        loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-15", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-15", ppo_updates)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-15", ppo_updates)
### END HIDDEN TESTS
