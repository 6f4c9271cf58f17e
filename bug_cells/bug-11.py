# %% [markdown]
# ### Bug 11: the reward of a padded row
#
# `bug-11` · difficulty 2/5 · about 10 minutes · 2 points
#
# **What it is for.** A reward model gives a score at each position, `scores` (B, T); the reward of a row is the score at its last real token. `attention_mask` (B, T) is 1 on real tokens, which stand together, and 0 on padding. **Padding may stand on the left of a row, on its right, or on both sides**, in one batch too. The result is (B,), with a gradient into `scores`.
#
# **What was seen.** The reward model has an accuracy of 0.74 on held-out pairs. During RL, where prompts are padded on the left so that generation can go on at the right, answers to short prompts get rewards that do not depend on how they end. A batch of one row is scored rightly.
#
# Graded: scores (1.5), gradient and inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-11")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-11", "locked": false, "schema_version": 3, "solution": true, "task": false}
def last_token_scores(scores, attention_mask):
    """The score at the last real token of each row: (B,)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # last = attention_mask.sum(dim=1) - 1
    # return scores[torch.arange(len(scores)), last]
    ### MENDED
    # a position, not a count: the largest one at which the mask is 1
    positions = torch.arange(scores.shape[1])
    last = torch.where(attention_mask == 1, positions, -1).max(dim=1).values
    return scores[torch.arange(len(scores)), last]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-11", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-11", last_token_scores)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-11", last_token_scores)
### END HIDDEN TESTS
