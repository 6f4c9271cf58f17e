# %% [markdown]
# ### Bug 18: sixteen times the same answer
#
# `bug-18` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Rollouts that can be repeated. `sample(prompt, rng)` draws an answer with a numpy `Generator`. For each of the `prompts` the function draws `group_size` answers: a list of lists, a list a prompt, in the order of the prompts. The same `seed` gives the same answers. A run calls it round by round with the seeds 0, 1, 2, …; **all answers are independent, within a group, across prompts, and across rounds**, so no two of them may be drawn from the same random numbers.
#
# **What was seen.** Every group of sixteen answers is sixteen times the same one, so the group's standard deviation is 0 and nothing is learned. A colleague has mended it with `seed + k`; since then the groups have different answers, but the random numbers of round 7 are those of round 6, moved by one place.
#
# Graded: independent within groups, across prompts and rounds (2), each prompt has its group and the same seed gives the same answers (1).
#
# Stuck? Run `hint("bug-18")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-18", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample_groups(prompts, sample, group_size, seed):
    """`group_size` independent answers for each prompt: a list of lists. The same seed, the same answers."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # groups = []
    # for prompt in prompts:
    #     answers = []
    #     for _ in range(group_size):
    #         rng = np.random.default_rng(seed)  # so that a run can be repeated
    #         answers.append(sample(prompt, rng))
    #     groups.append(answers)
    # return groups
    ### MENDED
    rng = np.random.default_rng(seed)  # one generator for the round: it goes on from answer to answer
    groups = []
    for prompt in prompts:
        answers = []
        for _ in range(group_size):
            answers.append(sample(prompt, rng))
        groups.append(answers)
    return groups
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-18", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-18", sample_groups)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-18", sample_groups)
### END HIDDEN TESTS
