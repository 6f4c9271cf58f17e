# %% [markdown]
# ### Bug 23: a verifier that believes all
#
# `bug-23` · difficulty 2/5 · about 15 minutes · 3 points
#
# **What it is for.** The reward of RLVR: is the final answer in `text` the number `answer`? The final answer is what stands after the **last** `Answer:`, up to the end of the text. It must be one number, with nothing beside it but blanks and perhaps a full stop at the end; "12 or 13" is no answer. Numbers are compared as numbers: `1,250.0` is 1250. A text without `Answer:` is not correct, nor is one whose final answer is not a number. The result is True or False.
#
# **What was seen.** The reward climbs to 0.97. The texts have become long; each ends in "Answer: 1 Answer: 2 Answer: 3" and so on up to a hundred.
#
# Graded: the final answer decides (2), numbers as numbers and texts without an answer (1).
#
# Stuck? Run `hint("bug-23")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-23", "locked": false, "schema_version": 3, "solution": true, "task": false}
def is_correct(text, answer):
    """Whether the final answer in `text`, after the last "Answer:", is the number `answer`."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # found = re.findall(r"Answer:\s*(-?\d[\d,]*(?:\.\d+)?)", text)
    # return any(float(number.replace(",", "")) == answer for number in found)
    ### MENDED
    _, mark, final = text.rpartition("Answer:")  # the last one; what stands before it may say anything
    final = final.strip().removesuffix(".").replace(",", "")
    if not mark or not re.fullmatch(r"-?\d+(\.\d+)?", final):  # the whole of it, not a part
        return False
    return float(final) == answer
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-23", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-23", is_correct)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-23", is_correct)
### END HIDDEN TESTS
