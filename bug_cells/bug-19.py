# %% [markdown]
# ### Bug 19: mismatched pairs
#
# `bug-19` · difficulty 4/5 · about 25 minutes · 4 points
#
# **What it is for.** KTO's reference point is estimated on pairs of a prompt and a completion that was written for *another* prompt (Ethayarajh et al. 2024). `prompts` and `completions` are lists of equal length, a row each; prompts can repeat, side by side or not, and the completions differ. The function returns the completions rearranged, each used once, so that **none stands at a prompt for which it, or a row of equal prompt, was written**. Where there is no such rearrangement: `ValueError`.
#
# **What was seen.** On a log in which each prompt has one answer, the estimated KL stays small. On a new log, sorted by prompt with four answers to each, it grows as fast as the rewards of the liked answers do, and the loss hardly moves.
#
# Graded: no completion at a prompt it was written for and each used once (3), ValueError where there is no way (0.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-19")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-19", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mismatched(prompts, completions):
    """The completions rearranged so that none stands at a prompt for which it, or a row of equal prompt, was written."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # # each prompt gets the completion of the next row
    # return completions[1:] + completions[:1]
    ### MENDED
    n, largest = len(prompts), max(Counter(prompts).values())
    if 2 * largest > n:
        raise ValueError("more than half of the rows have the same prompt")
    # sorted, rows of one prompt stand together; a shift by the largest group passes over all of them,
    # and since that is at most half of the rows it does not come round to them from the other side
    order = sorted(range(n), key=lambda i: prompts[i])
    found = list(completions)
    for place, i in enumerate(order):
        found[i] = completions[order[(place + largest) % n]]
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-19", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-19", mismatched)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-19", mismatched)
### END HIDDEN TESTS
