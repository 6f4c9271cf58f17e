# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here

# %%
import torch

from course_utils.checks import hint, progress, recall, use

# %% [markdown]
# ## Exercise

# %% nbgrader={"grade": false, "grade_id": "log-softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_softmax(logits):
    """log of softmax over the last axis."""
    ### BEGIN SOLUTION
    return logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-log-softmax", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("log-softmax", log_softmax)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("log-softmax", log_softmax)
### END HIDDEN TESTS
