# %% [markdown]
# ### Bug 21: an export while training
#
# `bug-21` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Every thousand steps the model is exported with its adapters merged in, and then training goes on. `layers` is a dict, name → layer with `layer.weight` (out, in), which is frozen, `layer.lora_A` (r, in), `layer.lora_B` (out, r) and `layer.alpha`, a number. The function returns a dict, name → weight + alpha / r · lora_B lora_A. **The layers stay as they are**, and what was returned does not change when they do, nor does it hang on a graph.
#
# **What was seen.** The first export is right. The loss jumps up at every thousandth step and comes down again. The last export, merged by another tool from the stored adapter and the original base, is quite another model.
#
# Graded: two exports one after the other and layers as they were (2), fixed when training goes on and no graph (1).
#
# Stuck? Run `hint("bug-21")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-21", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merged_weights(layers):
    """The weights with their adapters merged in, {name: tensor}, for an export; training then goes on."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # merged = {}
    # with torch.no_grad():
    #     for name, layer in layers.items():
    #         merged[name] = layer.weight.detach()
    #         merged[name] += layer.alpha / layer.lora_A.shape[0] * (layer.lora_B @ layer.lora_A)
    # return merged
    ### MENDED
    merged = {}
    with torch.no_grad():
        for name, layer in layers.items():
            # `detach` gives the same memory without a graph; `clone` gives memory of its own, which += may change
            merged[name] = layer.weight.detach().clone()
            merged[name] += layer.alpha / layer.lora_A.shape[0] * (layer.lora_B @ layer.lora_A)
    return merged
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-21", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-21", merged_weights)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-21", merged_weights)
### END HIDDEN TESTS
