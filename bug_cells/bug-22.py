# %% [markdown]
# ### Bug 22: one half, always
#
# `bug-22` · difficulty 1/5 · about 10 minutes · 2 points
#
# **What it is for.** A model judges pairs of answers. Judges like the first place, or the last, so every pair is judged in both orders. `judge(prompt, first, second)` gives `"first"`, `"second"` or `"tie"`. Each of the 2n verdicts counts 1 if it is for *our* answer, ½ if it is a tie, 0 otherwise; the result is their mean, a float.
#
# **What was seen.** Since both orders are asked every comparison comes out near 50 %, even that of a 70B model with a 1B model. With a judge that likes the first place all are a little above, with another a little below.
#
# Graded: the rate, from each pair once in each order (1.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-22")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-22", "locked": false, "schema_version": 3, "solution": true, "task": false}
def judged_rate(judge, prompts, ours, theirs):
    """Our win rate by a judge that sees every pair in both orders; a float."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # points = {"first": 1.0, "tie": 0.5, "second": 0.0}
    # total = 0.0
    # for prompt, a, b in zip(prompts, ours, theirs):
    #     total += points[judge(prompt, a, b)]
    #     total += points[judge(prompt, b, a)]
    # return total / (2 * len(prompts))
    ### MENDED
    points = {"first": 1.0, "tie": 0.5, "second": 0.0}
    total = 0.0
    for prompt, a, b in zip(prompts, ours, theirs):
        total += points[judge(prompt, a, b)]
        total += 1.0 - points[judge(prompt, b, a)]  # ours is the second one here
    return total / (2 * len(prompts))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-22", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-22", judged_rate)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-22", judged_rate)
### END HIDDEN TESTS
