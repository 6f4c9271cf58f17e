# %% [markdown]
# ### Bug 24: the winner of forty
#
# `bug-24` · difficulty 4/5 · about 25 minutes · 4 points
#
# **What it is for.** Forty checkpoints (of other seeds, betas, steps) have been run on the same prompts. `scores` is an array (M, N), the score of each checkpoint on each prompt; the prompts are a random sample, in random order. The function returns a good checkpoint, as an int, and an estimate of its mean score over *all* prompts that users might ask, as a float. **The estimate must be unbiased**: over many samples of prompts it is right on average, although the checkpoint was chosen by the same sample. It is to be no less exact than a fifth of the prompts allow. The same `seed` gives the same report; any way of choosing does that finds a checkpoint that is clearly the best. `scores` is not changed.
#
# **What was seen.** "Best of the sweep: 57 %", says the report. In production it is 50 %, like all the others. The next sweep has more checkpoints; its winner has 59 % in the report, and 50 % in production.
#
# Graded: estimates right on average and a good choice (3), no further off than sampling allows (0.5), same seed same report and inputs unchanged (0.5). "On average" is a matter of 60 to 120 samples of 200 prompts each; a bias below 0.9 standard errors of a mean of all prompts passes, that of the code as found is about 2.2.
#
# Stuck? Run `hint("bug-24")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-24", "locked": false, "schema_version": 3, "solution": true, "task": false}
def report_best(scores, seed):
    """(checkpoint, estimate): a good checkpoint, and an unbiased estimate of its mean score."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # means = scores.mean(axis=1)
    # best = int(means.argmax())
    # return best, float(means[best])
    ### MENDED
    # the prompts that chose cannot judge: the largest of many means is large by luck, too
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    choosing, judging = np.array_split(order, 2)
    best = int(scores[:, choosing].mean(axis=1).argmax())
    return best, float(scores[best, judging].mean())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-24", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-24", report_best)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-24", report_best)
### END HIDDEN TESTS
