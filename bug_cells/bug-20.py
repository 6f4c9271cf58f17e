# %% [markdown]
# ### Bug 20: a row that is too long
#
# `bug-20` · difficulty 2/5 · about 10 minutes · 2 points
#
# **What it is for.** Prompt and completion, lists of ids, must fit into `max_length` ≥ 1 tokens together. The completion goes first: it keeps its first `max_length` tokens. The prompt then keeps **as many of its last tokens as there is room for**. Returned is (prompt, completion).
#
# **What was seen.** `max_length` is 1,024. After nine hours training stops for lack of memory: a row has 9,300 tokens. Its completion alone has 1,400; rows with short completions have never been too long.
#
# Graded: what is kept (1.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-20")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-20", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fit(prompt, completion, max_length):
    """(prompt, completion) cut to at most `max_length` tokens together."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # completion = completion[:max_length]
    # room = max_length - len(completion)
    # return prompt[-room:], completion
    ### MENDED
    completion = completion[:max_length]
    room = max_length - len(completion)
    # not prompt[-room:], which for a room of 0 is the whole prompt
    return prompt[max(len(prompt) - room, 0) :], completion
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-20", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-20", fit)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-20", fit)
### END HIDDEN TESTS
