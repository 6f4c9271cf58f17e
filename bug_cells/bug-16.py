# %% [markdown]
# ### Bug 16: blamed for the neighbour
#
# `bug-16` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Generalised advantage estimation (Schulman et al. 2015). To waste no padding, several answers are packed into one row, one after the other. `rewards` and `values` are (T,), one a token; `ended` is bool (T,), True at the last token of each answer, so also at the last of all. The value after an answer's end is 0, and **answers do not know of each other**. The result is (T,).
#
# **What was seen.** Packing was to change nothing but speed. Since then the advantages of an answer depend on which answer happens to be packed behind it; most of all at its last tokens. A row with one answer gives the same numbers as before.
#
# Graded: advantages (2.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-16")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-16", "locked": false, "schema_version": 3, "solution": true, "task": false}
def packed_gae(rewards, values, ended, gamma=1.0, lam=0.95):
    """Generalised advantage estimation of answers packed into one row, one after the other: (T,)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # advantages, carry = torch.zeros_like(rewards), 0.0
    # for t in reversed(range(len(rewards))):
    #     next_value = 0.0 if ended[t] else values[t + 1]
    #     delta = rewards[t] + gamma * next_value - values[t]
    #     carry = delta + gamma * lam * carry
    #     advantages[t] = carry
    # return advantages
    ### MENDED
    advantages, carry = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        if ended[t]:
            carry = 0.0  # two things come from token t + 1, its value and this sum; both end with the answer
        next_value = 0.0 if ended[t] else values[t + 1]
        delta = rewards[t] + gamma * next_value - values[t]
        carry = delta + gamma * lam * carry
        advantages[t] = carry
    return advantages
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-16", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-16", packed_gae)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-16", packed_gae)
### END HIDDEN TESTS
