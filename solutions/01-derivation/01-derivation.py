# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · From the KL objective to the DPO loss
#
# **Goal.** Reinforcement learning from human feedback first fits a reward model to comparisons, then trains a policy against it, with a KL penalty that keeps the policy near a reference. Direct Preference Optimization (DPO; Rafailov et al. 2023, arXiv 2305.18290) reaches the same *optimum* with one classification loss on the comparisons. This notebook derives that loss. Every line is executed twice, in symbols with sympy and in numbers, and every line has its reason beside it. Then the loss is tried in a small world where the reward and $\pi^*$ are known, and broken where its assumptions fail.
#
# **The map.** Each row is a step.
#
# | step | from | to | what makes it work |
# |---|---|---|---|
# | 1 | a reward, a reference, a price for KL | the objective $J(\pi)$ | a definition |
# | 2 | $J(\pi)$ | the optimal policy $\pi^*$ | a Lagrangian for each prompt; $J$ is strictly concave |
# | 3 | $\pi^*$ in theory | $\pi^*$ in floating point | log-sum-exp |
# | 4 | $\pi^*$ | $r = \beta\log(\pi^*/\pi_{\mathrm{ref}})$, up to a function of the prompt | the logarithm |
# | 5 | $r$ | the probability of a preference | Bradley–Terry, an *assumption* |
# | 6 | that probability | a loss on the policy | $Z(x)$ cancels |
# | 7 | the loss | its gradient | the chain rule |
# | 8 | the theory | an experiment | a world small enough to know everything |
#
# Ten exercises (46 points) and a practice question (10 points, graded by hand). Allow three hours.
#
# *Notation.* $x$ is a prompt, $y$ a response, $\pi$ the policy, $\pi_{\mathrm{ref}}$ the reference, $r$ the reward, $\beta > 0$ the price of one nat of KL in units of reward. Logarithms are natural.

# %% [markdown]
# ## Three questions on the last notebook
#
# Run the import cell and then the three cells below it to see the questions. Then replace each question mark by a letter and run the cell again. Nothing here is graded.

# %%
import math

import numpy as np
import pandas as pd
import sympy
import torch
from scipy import optimize

from course_utils import plots
from course_utils.checks import hint, progress, recall, use
from course_utils.scale import at_scale
from course_utils.testbed import tabular

# %% tags=["recall"]
recall("01-a", "b")

# %% tags=["recall"]
recall("01-b", "a")

# %% tags=["recall"]
recall("01-c", "c")

# %% [markdown]
# ## 1. The objective: reward, at a price
#
# The policy earns reward and pays for every nat that it moves away from the reference:
#
# $$J(\pi) \;=\; \mathbb{E}_{y \sim \pi(\cdot\mid x)}\,[\,r(x,y)\,] \;-\; \beta\, \mathrm{KL}\big(\pi(\cdot\mid x)\,\|\,\pi_{\mathrm{ref}}(\cdot\mid x)\big)$$
#
# (Rafailov et al., equation 3, for one prompt; the paper averages over prompts, and since each prompt has a distribution of its own, each can be solved alone.)
#
# Two things are often said about it that are wrong; they stand in quotation marks.
#
# - *"This is a constrained problem."* It is a **penalised** one: β is a price, and it stays. The constrained problem asks for the most reward with KL at most some ε.
# - The two are tied. Each β has a matching ε, and each ε has a matching β as long as it can be spent: here, with the numbers of the worked example, below log 5 = 1.61 nats, all mass on response 3. Section 3 measures it. Which ε a β leads to depends on the prompt and on the reward.
# - *"A larger β fits the preferences harder."* A larger β makes KL dearer, so the policy stays closer to the reference.
#
# **The worked example**, used throughout: three responses, $\pi_{\mathrm{ref}} = (0.5, 0.3, 0.2)$, $r = (1, 0, 2)$, $\beta = 0.5$. It is never $\beta = 1$, where $\beta$ and $1/\beta$ look alike.

# %%
reference = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
reward = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
beta = 0.5

# %% [markdown]
# ### Exercise: the objective
#
# `kl-objective` · difficulty 2/5 · about 10 minutes · 5 points
#
# Write $J$ for whole tables of policies at once. With $y$ along the last axis,
#
# $$J(\pi) = \sum_y \pi(y)\, r(y) \;-\; \beta \sum_y \pi(y) \log \frac{\pi(y)}{\pi_{\mathrm{ref}}(y)}$$
#
# (Rafailov et al., equation 3.)
#
# | argument | shape | |
# |---|---|---|
# | `pi`, `pi_ref` | `(..., Y)` | positive, sum to 1 over the last axis |
# | `reward` | `(..., Y)` | |
# | `beta` | float | positive |
# | returns | `(...)` | one value per distribution, the dtype of the inputs |
#
# Graded: values (3), gradients into `pi` and `reward` (1; of the gradient into `pi` only the part that keeps $\sum_y \pi(y) = 1$ is compared), dtype kept and inputs unchanged (1).
#
# Stuck? Run `hint("kl-objective")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kl-objective", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_objective(pi, pi_ref, reward, beta):
    """E_pi[reward] - beta KL(pi || pi_ref), last axis removed."""
    ### BEGIN SOLUTION
    log_ratio = pi.log() - pi_ref.log()
    # both terms are expectations under pi, so one weighted sum does both
    return (pi * (reward - beta * log_ratio)).sum(dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kl-objective", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kl-objective", kl_objective)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kl-objective", kl_objective)
### END HIDDEN TESTS

# %% [markdown]
# ### Look before deriving: the frontier
#
# With three responses every policy is a point in a triangle, so the best one can be found by trying a fine grid of them all. No calculus yet. The first cell lists the policies and finds, for several prices β, the one with the highest $J$; the next one draws them.

# %% tags=["experiment"]
objective = use("kl-objective", kl_objective)

steps = 400
grid = [(i, j, steps - i - j) for i in range(1, steps) for j in range(1, steps - i)]
policies = torch.tensor(grid, dtype=torch.float64) / steps  # every policy on the grid, all positive
expected_reward = policies @ reward
# J at beta 1 minus J at beta 2 leaves one KL
divergence = objective(policies, reference.expand_as(policies), reward.expand_as(policies), 1.0) - objective(
    policies, reference.expand_as(policies), reward.expand_as(policies), 2.0
)

prices = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0]
rows = []
for price in prices:
    best = int((expected_reward - price * divergence).argmax())
    rows.append([price, *policies[best].tolist(), expected_reward[best].item(), divergence[best].item()])
brute_force = pd.DataFrame(rows, columns=["beta", "pi(1)", "pi(2)", "pi(3)", "reward", "KL in nats"])
print(brute_force.round(2).to_string(index=False))

# %% tags=["experiment"]
fig, ax = plots.figure()
sample = torch.randperm(len(policies), generator=torch.Generator().manual_seed(0))[:1500]
ax.plot(
    divergence[sample],
    expected_reward[sample],
    ".",
    color="#b8b8b8",
    markersize=3,
    label="policies on the grid",
)
ax.plot(
    brute_force["KL in nats"],
    brute_force["reward"],
    "o",
    color=plots.COLOURS[0],
    label="best J for a price beta",
)
for row in rows:
    # above the edge, where no policy is; the last one to the right, clear of its neighbour
    side = "left" if row[0] == min(prices) else "right"
    ax.annotate(f"β = {row[0]:g}", (row[5], row[4]), xytext=(-5, 5), textcoords="offset points", ha=side)
ax.plot([0], [reference @ reward], "s", color="black", label="the reference")
ax.set(xlim=(-0.3, 1.8), xticks=np.linspace(0, 1.5, 7), ylim=(-0.1, 2.2))
ax.set(xlabel="KL from the reference (nats)", ylabel="expected reward")
ax.legend(loc="lower right")
plots.show(
    fig,
    "Expected reward against KL for many policies; the best ones for each beta lie on the upper edge, "
    "from the reference at large beta to the best response at small beta.",
)

# %% [markdown]
# The best policies lie on the upper edge of the cloud, the **frontier**. No policy gets more reward for the same KL. A small β walks far along the edge; a large one stays near the reference. The slope of the edge at each dot is its β. The edge flattens: the last bit of reward is the dearest.
#
# The grid finds these points but does not explain them. Calculus does.
#
# ## 2. The optimum, line by line
#
# For one prompt the unknown is a list of numbers $p_y = \pi(y \mid x)$ that sum to 1. That is an ordinary problem in as many variables as there are responses. Nothing beyond a Lagrange multiplier is needed.
#
# The multiplier belongs to one prompt's constraint, so it is $\lambda(x)$. Writing a single λ for all prompts is a common slip.

# %% [markdown]
# ### Exercise: the Lagrangian
#
# `lagrangian` · difficulty 2/5 · about 15 minutes · 4 points
#
# Write the Lagrangian of one prompt's problem in sympy:
#
# $$\mathcal{L}(p, \lambda) = \sum_y p_y r_y - \beta \sum_y p_y \log\frac{p_y}{q_y} \;\pm\; \lambda \Big(\sum_y p_y - 1\Big), \qquad q_y = \pi_{\mathrm{ref}}(y\mid x)$$
#
# (the objective is equation 3 of Rafailov et al.; either sign of the multiplier is right).
#
# - `p`, `q`, `r`: lists of sympy symbols of equal length, two or more, with or without assumptions; `beta`, `lam`: symbols.
# - Returns one sympy expression in these symbols only. Any equivalent form will do.
#
# Graded: the objective (2), the constraint (1), any number of responses and any symbols (1).
#
# Stuck? Run `hint("lagrangian")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "lagrangian", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lagrangian(p, q, r, beta, lam):
    """J(p) with the constraint that p sums to 1."""
    ### BEGIN SOLUTION
    expected_reward = sum(a * c for a, c in zip(p, r))
    kl = sum(a * sympy.log(a / b) for a, b in zip(p, q))
    return expected_reward - beta * kl - lam * (sum(p) - 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-lagrangian", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("lagrangian", lagrangian)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("lagrangian", lagrangian)
### END HIDDEN TESTS

# %% [markdown]
# ### Lines 1 to 3: where the slope is zero, and why that is a maximum
#
# The function below holds one line of the derivation: it tries to simplify left minus right to zero, and it evaluates both sides at the worked example (with $p = (0.2, 0.1, 0.7)$ and $\lambda = 0.8$ as arbitrary values; until line 5 fixes λ, $p_1$ in line 4 need not be a probability, and depends on the sign that you chose). It prints the line's number, the verdict in symbols, both values and the reason, and it is used for every line from here on.

# %%
p = sympy.symbols("p1:4", positive=True)
q = sympy.symbols("q1:4", positive=True)
r = sympy.symbols("r1:4", real=True)
b = sympy.Symbol("beta", positive=True)
lam = sympy.Symbol("lambda", real=True)
WORKED = dict(zip(p + q + r + (b, lam), [0.2, 0.1, 0.7, 0.5, 0.3, 0.2, 1.0, 0.0, 2.0, 0.5, 0.8]))


def line(number, reason, left, right, at=WORKED):
    """Hold left = right in symbols and in numbers, and print the verdict with the reason."""
    gap = sympy.expand(sympy.expand_log(sympy.sympify(left - right), force=True))
    symbols = gap == 0 or sympy.simplify(gap) == 0
    values = [float(sympy.N(sympy.sympify(side).subs(at))) for side in (left, right)]
    numbers = math.isclose(*values, rel_tol=1e-9, abs_tol=1e-9)
    verdict = "equal" if symbols else "NOT SHOWN"
    print(f"{number:>2}  {verdict:9} {values[0]:8.4f} {'=' if numbers else '!='} {values[1]:.4f}   {reason}")


# %% tags=["experiment"]
L = use("lagrangian", lagrangian)(p, q, r, b, lam)
# either sign of the multiplier is right: read it off, with all p set to 1
sign = sympy.sign(sympy.diff(L, lam).subs(dict.fromkeys(p, 1))) or 1

line(
    1,
    "slope by p1; the product rule gives the extra -beta",
    sympy.diff(L, p[0]),
    r[0] - b * sympy.log(p[0] / q[0]) - b + sign * lam,
)
line(2, "second derivative by p1: negative for p1 > 0", sympy.diff(L, p[0], 2), -b / p[0])
line(3, "mixed second derivative: the slopes are separate", sympy.diff(L, p[0], p[1]), sympy.Integer(0))

# %% [markdown]
# Lines 2 and 3 are what many derivations leave out. The Hessian is diagonal with negative entries, so $J$ is **strictly concave**, and the constraint is linear: a stationary point is *the* maximum, and there is only one. Positivity $p_y \ge 0$ needs no multiplier of its own, because the solution comes out positive by itself: as $p_y$ goes to 0 the derivative of line 1 grows without bound, so $J$ rises away from the edge.
#
# That needs $\pi_{\mathrm{ref}}(y\mid x) > 0$. A response that the reference never gives has infinite price and stays at zero, however good it is.

# %% [markdown]
# ### Exercise: solve it
#
# `solve-optimal-policy` · difficulty 4/5 · about 25 minutes · 5 points
#
# At the maximum the slope of line 1 is zero for every response, and the constraint holds:
#
# $$r_y - \beta \log\frac{p_y}{q_y} - \beta \pm \lambda = 0 \;\text{ for all } y, \qquad \sum_y p_y = 1$$
#
# (the stationary point of equation 3 of Rafailov et al.; its solution is their equation 4). Solve the first for $p_y$, and let the second decide the multiplier. Return the optimal policy $p_y = \pi^*(y\mid x)$.
#
# - `q` (positive symbols), `r` (real symbols): lists of equal length, two or more; `beta`: a positive symbol.
# - Returns a list of sympy expressions in the order of `q`, in these symbols only, that sum to 1: neither λ nor a symbol for the normaliser is left. Derive it on paper or have `sympy.solve` find it; any equivalent form will do.
#
# Graded: the ratios between responses (2), normalised and free of the multiplier (2), any number of responses and any symbols (1).
#
# Stuck? Run `hint("solve-optimal-policy")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "solve-optimal-policy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def solve_optimal_policy(q, r, beta):
    """The stationary point, normalised: one expression per response."""
    ### BEGIN SOLUTION
    # slope zero: log p = log q + r / beta + (a number that is the same for all responses)
    weights = [b * sympy.exp(c / beta) for b, c in zip(q, r)]
    # that number is whatever makes the sum 1
    return [w / sum(weights) for w in weights]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-solve-optimal-policy", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("solve-optimal-policy", solve_optimal_policy)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("solve-optimal-policy", solve_optimal_policy)
### END HIDDEN TESTS

# %% [markdown]
# ### Lines 4 to 7: the multiplier becomes the partition function
#
# The exercise's solution is
#
# $$\pi^*(y\mid x) = \frac{1}{Z(x)}\, \pi_{\mathrm{ref}}(y\mid x)\, \exp\!\Big(\frac{r(x,y)}{\beta}\Big), \qquad Z(x) = \sum_y \pi_{\mathrm{ref}}(y\mid x) \exp\!\Big(\frac{r(x,y)}{\beta}\Big)$$
#
# (Rafailov et al., equation 4). The next lines get there from your Lagrangian. Line 5 has sympy solve the constraint for the multiplier.

# %% tags=["experiment"]
solution = use("solve-optimal-policy", solve_optimal_policy)(list(q), list(r), b)
Z = sum(qi * sympy.exp(ri / b) for qi, ri in zip(q, r))
star = [qi * sympy.exp(ri / b) / Z for qi, ri in zip(q, r)]
free = [sympy.solve(sympy.diff(L, s), s)[0] for s in p]  # stationary for any value of the multiplier
found = sympy.solve(sum(free) - 1, lam)[0]

line(
    4,
    "slope zero, solved for p1: one common factor is open",
    free[0],
    q[0] * sympy.exp(r[0] / b) * sympy.exp(sign * lam / b - 1),
)
line(
    5,
    "sum p = 1 fixes λ(x), and with it the common factor: it is 1/Z",
    sympy.exp(sign * found / b - 1),
    1 / Z,
)
line(6, "put together: your solution is q exp(r/beta) / Z", solution[0], star[0])
line(7, "and it sums to 1", sum(solution), sympy.Integer(1))

# %% [markdown]
# $Z(x)$ is the **partition function**. It is a sum over *all* responses. For a language model these are all strings, so nobody can compute it. Estimating it from samples of the reference is possible but expensive: a few rare responses with high reward carry most of the sum. Remember that: the point of DPO is that nobody has to.
#
# ### Lines 8 to 10: the same result without calculus
#
# There is a shorter road that also proves the maximum. Write the objective as a constant minus β times a KL to $\pi^*$ (known as the Gibbs variational principle).

# %% tags=["experiment"]
on_simplex = {p[2]: 1 - p[0] - p[1]}  # the constraint, used up
J = sum(pi * (ri - b * sympy.log(pi / qi)) for pi, qi, ri in zip(p, q, r))
kl_to_star = sum(pi * sympy.log(pi / si) for pi, si in zip(p, star))

line(8, "line 6, solved for the reward", r[0], b * sympy.log(star[0] / q[0]) + b * sympy.log(Z))
line(
    9,
    "put into J: beta log Z - beta KL(p || star) (Gibbs)",
    J.subs(on_simplex),
    (b * sympy.log(Z) - b * kl_to_star).subs(on_simplex),
)
line(10, "at p = star the KL is 0: the maximum is beta log Z", J.subs(dict(zip(p, star))), b * sympy.log(Z))

# %% [markdown]
# On the right of line 9 the first term does not depend on $p$. The second is never positive, and zero only at $p = \pi^*$. So $\pi^*$ is the unique maximiser, and the best value is $\beta \log Z(x)$. A policy's **regret** is what it lacks to the best $J$. **It is β times the policy's KL to $\pi^*$.**
#
# ## 3. The optimum in floating point
#
# The formula has an exponential in it. Rewards divided by a small β leave the range of floating point soon: float32 ends near $e^{88}$, float64 near $e^{709}$.

# %%
for exponent in (88.0, 89.0, 709.0, 710.0):
    both = [torch.exp(torch.tensor(exponent, dtype=kind)).item() for kind in (torch.float32, torch.float64)]
    print(f"exp({exponent:g}): float32 {both[0]:.3g}, float64 {both[1]:.3g}")

# %% [markdown]
# A large *negative* exponent is no better: $e^{-1000}$ is 0, and then $\log Z$ is minus infinity and $\pi^*$ is 0/0. Both exercises below stay in logarithms, as in notebook 00.

# %% [markdown]
# ### Exercise: log Z
#
# `log-partition` · difficulty 3/5 · about 10 minutes · 5 points
#
# $$\log Z(x) = \log \sum_y \pi_{\mathrm{ref}}(y\mid x) \exp\!\Big(\frac{r(x,y)}{\beta}\Big)$$
#
# (Rafailov et al., below equation 4.)
#
# | argument | shape | |
# |---|---|---|
# | `pi_ref` | `(..., Y)` | positive, sums to 1 over the last axis |
# | `reward` | `(..., Y)` | |
# | `beta` | float | positive |
# | returns | `(...)` | the last axis removed |
#
# Graded: values (3), stable for `reward / beta` of ±1e4 in value and gradient (1), gradient into `reward` (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("log-partition")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "log-partition", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_partition(pi_ref, reward, beta):
    """log of the sum of pi_ref exp(reward / beta), last axis removed."""
    ### BEGIN SOLUTION
    # a factor outside an exponential is a summand inside it, and logsumexp never forms the exponential
    return torch.logsumexp(pi_ref.log() + reward / beta, dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-log-partition", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("log-partition", log_partition)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("log-partition", log_partition)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: π* in numbers
#
# `optimal-policy` · difficulty 2/5 · about 10 minutes · 5 points
#
# $$\pi^*(y\mid x) = \frac{1}{Z(x)}\, \pi_{\mathrm{ref}}(y\mid x)\, \exp\!\Big(\frac{r(x,y)}{\beta}\Big)$$
#
# (Rafailov et al., equation 4.) Arguments as before; returns probabilities in the shape of `reward`.
#
# Graded: values (3), stable for `reward / beta` of ±1e4 in value and gradient (1), gradient into `reward` (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("optimal-policy")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "optimal-policy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def optimal_policy(pi_ref, reward, beta):
    """pi_ref exp(reward / beta), normalised over the last axis."""
    ### BEGIN SOLUTION
    # these are the logits of a softmax; softmax normalises, and is stable by itself
    return torch.softmax(pi_ref.log() + reward / beta, dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-optimal-policy", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("optimal-policy", optimal_policy)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("optimal-policy", optimal_policy)
### END HIDDEN TESTS

# %% [markdown]
# ### The closed form against brute force and against plausible wrong formulas
#
# The grid of section 1 knew nothing of the formula. If the formula is right, both agree to the width of the grid, and every other policy has a lower $J$.

# %% tags=["experiment"]
optimal = use("optimal-policy", optimal_policy)
log_z = use("log-partition", log_partition)

closed = torch.stack([optimal(reference, reward, price) for price in prices])
worst = (closed - torch.tensor(brute_force.iloc[:, 1:4].to_numpy())).abs().max().item()
print(f"closed form and brute force agree to the width of the grid: {'yes' if worst < 2 / steps else 'no'}")

star_numbers = optimal(reference, reward, beta)
candidates = {
    "optimal policy": star_numbers,
    "exp(beta r) in place of exp(r/beta)": torch.softmax(reference.log() + beta * reward, -1),
    "the reference forgotten": torch.softmax(reward / beta, -1),
    "greedy (almost)": torch.tensor([1e-9, 1e-9, 1 - 2e-9], dtype=torch.float64),
    "the reference itself": reference,
}
rows = []
for name, policy in candidates.items():
    value = objective(policy, reference, reward, beta).item()
    regret = beta * (policy * (policy.log() - star_numbers.log())).sum().item()
    rows.append([name, *policy.tolist(), value, regret])
table = pd.DataFrame(rows, columns=["policy", "pi(1)", "pi(2)", "pi(3)", "J", "beta KL to star"])
print(table.round(4).to_string(index=False))
print(f"beta log Z = {beta * log_z(reference, reward, beta).item():.4f}")
print(
    f"J + beta KL to star is beta log Z in every row: {'yes' if np.ptp(table['J'] + table['beta KL to star']) < 1e-6 else 'no'}"
)

# %% [markdown]
# The last line is Gibbs' identity (line 9) in numbers: what a policy lacks in $J$ is exactly β times its KL to $\pi^*$. Forgetting the reference costs little *here*, because the best response has a decent reference probability. Do not conclude that it is harmless.
#
# ### Penalty and constraint
#
# For a KL budget ε, search the best policy with a general optimiser, knowing nothing of $\pi^*$; then find the β whose $\pi^*$ spends exactly ε.


# %% tags=["experiment"]
def kl_from_reference(policy):
    return (policy * (policy.log() - reference.log())).sum().item()


def as_policy(numbers):
    return torch.tensor(np.clip(numbers, 1e-12, None), dtype=torch.float64)


rows = []
for budget in (0.05, 0.2, 0.6, 1.2):
    constrained = optimize.minimize(
        lambda v: -(v @ reward.numpy()),
        reference.numpy(),
        method="SLSQP",
        bounds=[(1e-9, 1)] * 3,
        constraints=[
            {"type": "eq", "fun": lambda v: v.sum() - 1},
            {"type": "ineq", "fun": lambda v, budget=budget: budget - kl_from_reference(as_policy(v))},
        ],
        options={"ftol": 1e-12, "maxiter": 500},
    ).x
    matching = optimize.brentq(
        lambda price, budget=budget: kl_from_reference(optimal(reference, reward, price)) - budget, 0.15, 50
    )
    penalised = optimal(reference, reward, matching).numpy()
    same = np.abs(constrained - penalised).max() < 1e-3
    rows.append([budget, matching, *penalised, "yes" if same else "no"])
columns = ["KL budget", "matching beta", "pi(1)", "pi(2)", "pi(3)", "same policy"]
print(pd.DataFrame(rows, columns=columns).round(3).to_string(index=False))

# %% [markdown]
# Each budget has its β, and the two problems share their solution. β is the Lagrange multiplier of the KL constraint. What differs is what you hold fixed: a price, or a distance.
#
# ### π* as β moves
#
# The triangle holds all policies over three responses: each corner is certainty of one response. As β falls from infinity to zero, $\pi^*$ walks from the reference to the corner of the best response. It does not walk straight.

# %% tags=["experiment", "readme"]
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])


def place(policies):
    """Points of the triangle for policies (..., 3)."""
    return np.asarray(policies) @ CORNERS


def triangle(ax):
    ax.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color="black", linewidth=1, linestyle="-")
    for (x, y), text, shift in zip(
        CORNERS, ("response 1, r = 1", "response 2, r = 0", "response 3, r = 2"), (-0.06, -0.06, 0.06)
    ):
        ax.text(x, y + shift, text, ha="center", va="center")
    ax.set(xlim=(-0.2, 1.2), ylim=(-0.12, 1.0), aspect="equal")
    ax.axis("off")


path = place(torch.stack([optimal(reference, reward, price) for price in np.geomspace(0.05, 100, 200)]))
fig, ax = plots.figure(size=(5.4, 4.4))
triangle(ax)
ax.plot(*path.T, color=plots.COLOURS[0], linestyle="-")
for price in (0.25, 0.5, 1.0, 2.0, 5.0):
    x, y = place(optimal(reference, reward, price))
    ax.plot(x, y, "o", color=plots.COLOURS[0])
    ax.annotate(f"β = {price:g}", (x, y), xytext=(20, -4), textcoords="offset points")
ax.plot(*place(reference), "s", color="black")
ax.annotate("reference", place(reference), xytext=(-66, -4), textcoords="offset points")
plots.show(
    fig,
    "The triangle of policies over three responses: as beta falls, the optimal policy moves along a curve "
    "from the reference to the corner of the response with the highest reward.",
)

# %% tags=["experiment", "nbval-ignore-output"]
import ipywidgets


def show_policy(price):
    """The optimal policy at one price, in the triangle and as bars beside the reference."""
    policy = optimal(reference, reward, price)
    fig, (left, right) = plots.figure(1, 2)
    triangle(left)
    left.plot(*path.T, color=plots.COLOURS[3], linestyle=":")
    left.plot(*place(reference), "s", color="black")
    left.plot(*place(policy), "o", color=plots.COLOURS[0], markersize=9)
    names = ["response 1", "response 2", "response 3"]
    plots.bars(right, names, reference.tolist(), "reference", -0.2, 0.38, plots.COLOURS[3])
    plots.bars(right, names, policy.tolist(), "optimal policy", 0.2, 0.38, plots.COLOURS[0], "//")
    right.set(ylim=(0, 1), ylabel="probability", title=f"β = {price:.2f}")
    right.legend()
    plots.show(
        fig, f"Optimal policy at beta {price:.2f}: " + ", ".join(f"{v:.2f}" for v in policy.tolist()) + "."
    )


slider = ipywidgets.FloatLogSlider(
    value=0.5, base=10, min=-1, max=1, step=0.05, description="beta", continuous_update=False
)
ipywidgets.VBox([slider, ipywidgets.interactive_output(show_policy, {"price": slider})])

# %% [markdown]
# Move the slider (it needs a running kernel). Response 1 is second best and starts with the largest reference probability: at first it even gains a little, because its reward of 1 is above the average, 0.9 under the reference. Only when the average has passed 1, below a β of about 5, does it start to lose, and below about 2.5 it is under its reference probability.
#
# ## 4. Inverting: the policy as a reward
#
# Line 8 read the formula backwards: $r(x,y) = \beta \log \frac{\pi^*(y\mid x)}{\pi_{\mathrm{ref}}(y\mid x)} + \beta \log Z(x)$ (Rafailov et al., equation 5). The first term needs two log-probabilities, which a language model gives. The second is the sum that nobody can compute, but it depends on the **prompt** only. (Some texts call it a "state-dependent constant". In the token-by-token view a state is the prompt with a part of the response; the term that will cancel depends on the prompt alone.)

# %% [markdown]
# ### Exercise: the implicit reward
#
# `implicit-reward` · difficulty 1/5 · about 5 minutes · 4 points
#
# Without the term that depends on the prompt only, every policy stands for a reward:
#
# $$\hat r(x, y) = \beta \log \frac{\pi(y\mid x)}{\pi_{\mathrm{ref}}(y\mid x)}$$
#
# (Rafailov et al., section 5.1; equation 5 without $\beta\log Z$.)
#
# - `policy_logp`, `ref_logp`: **log**-probabilities of the same responses, of any equal shape; `beta`: a positive float.
# - Returns rewards in the shape of the inputs.
#
# Graded: values (2), long responses with log-probabilities in the thousands (0.5), gradient into the policy (1), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("implicit-reward")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "implicit-reward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def implicit_reward(policy_logp, ref_logp, beta):
    """beta log(pi / pi_ref), from log-probabilities."""
    ### BEGIN SOLUTION
    # the logarithm of a ratio: exp would underflow for a long response
    return beta * (policy_logp - ref_logp)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-implicit-reward", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("implicit-reward", implicit_reward)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("implicit-reward", implicit_reward)
### END HIDDEN TESTS

# %% [markdown]
# ### What the missing term leaves undetermined
#
# It is often said that optimal policies and rewards are *one-to-one*. They are not. Add a function of the prompt to the reward, and the optimal policy stays the same: $e^{f(x)/\beta}$ multiplies the numerator and $Z(x)$ alike. What is one-to-one, at a fixed β and reference, is policies that give every response some probability and **classes** of rewards, where two rewards are in the same class if their difference depends on the prompt only (Rafailov et al., definition 1; lemma 1: same preferences; lemma 2: same optimal policy; theorem 1: in each class there is one reward of the form $\beta \log \pi/\pi_{\mathrm{ref}}$).

# %% [markdown]
# ### Exercise: the same policy?
#
# `reward-equivalence` · difficulty 3/5 · about 15 minutes · 4 points
#
# Two tables of rewards, a row per prompt. At the same β, do they have the same optimal policy? They do exactly when in each prompt $r_a(x, y) - r_b(x, y)$ is the same number for all responses (Rafailov et al., definition 1 and lemma 2).
#
# - `reward_a`, `reward_b`: `(X, Y)`, prompts × responses.
# - `tol`: in units of reward. The differences of a prompt, a row, count as the same number if the row's largest and smallest difference are at most `tol` apart.
# - Returns **one** bool tensor without dimensions: every prompt must agree.
#
# Graded: equivalent or not (2), `tol` in units of reward (1), one bool tensor and inputs unchanged (1).
#
# Stuck? Run `hint("reward-equivalence")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "reward-equivalence", "locked": false, "schema_version": 3, "solution": true, "task": false}
def same_policy(reward_a, reward_b, tol=1e-6):
    """Whether the difference is constant over responses in every prompt."""
    ### BEGIN SOLUTION
    difference = reward_a - reward_b
    spread = difference.amax(dim=-1) - difference.amin(dim=-1)  # 0 where only f(x) differs
    return (spread <= tol).all()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-reward-equivalence", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("reward-equivalence", same_policy)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("reward-equivalence", same_policy)
### END HIDDEN TESTS

# %% [markdown]
# In numbers, for two prompts. The shift $f(x)$ is $+5$ in one prompt and $-3$ in the other.

# %% tags=["experiment"]
implied = use("implicit-reward", implicit_reward)
equivalent = use("reward-equivalence", same_policy)

two_refs = torch.stack([reference, reference.flip(0)])
two_rewards = torch.stack([reward, torch.tensor([0.0, 1.5, -1.0], dtype=torch.float64)])
shift = torch.tensor([[5.0], [-3.0]], dtype=torch.float64)
representative = implied(optimal(two_refs, two_rewards, beta).log(), two_refs.log(), beta)
rewards = {
    "r": two_rewards,
    "r + 5": two_rewards + 5,
    "r + f(x)": two_rewards + shift,
    "implicit reward of r's optimum": representative,
    "2 r": 2 * two_rewards,
    "-r": -two_rewards,
}
for name, changed in rewards.items():
    policy = optimal(two_refs, changed, beta)
    print(
        f"{name:31} same class as r: {'yes' if equivalent(two_rewards, changed, 1e-6) else 'no ':3}   "
        f"optimal policy {[round(v, 3) for v in policy[0].tolist()]} {[round(v, 3) for v in policy[1].tolist()]}"
    )

# %% [markdown]
# The shift is free; the scale is not. Doubling the reward does what halving β does. And the implicit reward is the one member of its class with $Z(x) = 1$, which the next figure shows for two responses.

# %% tags=["experiment"]
even = torch.tensor([0.5, 0.5], dtype=torch.float64)
fig, ax = plots.figure(size=(5.6, 4.4))
span = np.linspace(-3, 3, 121)
for gap, style in zip((-2, -1, 0, 1, 2), ("-", "--", "-.", ":", "-")):
    share = optimal(even, torch.tensor([float(gap), 0.0], dtype=torch.float64), beta)[0].item()
    ax.plot(span, span - gap, linestyle=style, color=plots.COLOURS[3])
    where = min(3.0, 3.0 + gap)
    ax.text(
        where,
        where - gap + 0.05,
        f"π*(1) = {share:.2f}",
        fontsize=9,
        ha="right",
        va="bottom",
        rotation=45,
        rotation_mode="anchor",
    )
shares = torch.linspace(0.0005, 0.9995, 400, dtype=torch.float64)
implied_pair = implied(torch.stack([shares, 1 - shares], -1).log(), even.log().expand(400, 2), beta)
ax.plot(
    implied_pair[:, 0],
    implied_pair[:, 1],
    linestyle="-",
    color=plots.COLOURS[0],
    linewidth=2.5,
)
ax.text(0.5, -2.4, "implicit rewards, Z = 1", fontsize=9, color=plots.COLOURS[0])
ax.set(
    xlim=(-3, 3), ylim=(-3, 3), xlabel="reward of response 1", ylabel="reward of response 2", aspect="equal"
)
plots.show(
    fig,
    "The plane of rewards for two responses (uniform reference, β = 0.5). Every slanted line is one class of rewards with one optimal policy; "
    "the curve of implicit rewards crosses each line exactly once.",
)

# %% [markdown]
# ## 5. From rewards to preferences
#
# People give comparisons, not rewards. The link between the two is a model:
#
# $$P(y_w \succ y_l \mid x) = \frac{e^{r(x,y_w)}}{e^{r(x,y_w)} + e^{r(x,y_l)}} = \sigma\big(r(x,y_w) - r(x,y_l)\big)$$
#
# (Bradley and Terry 1952; Rafailov et al., equation 1.) It is an **assumption**, and a strong one: one reward for all raters, one noise level, no ties, preferences that are transitive, and a comparison that no third response can change. The derivation holds under it, and IPO and KTO (notebook 03) are what you get without it.

# %% [markdown]
# ### Exercise: Bradley–Terry
#
# `bradley-terry` · difficulty 2/5 · about 5 minutes · 4 points
#
# - `reward_chosen`, `reward_rejected`: rewards of the two responses of each pair, any equal shape.
# - Returns $P(\text{chosen} \succ \text{rejected})$, pair by pair, in that shape (equation above).
#
# Graded: values (2), stable for rewards of ±1e3 in value and gradient (1), gradients (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("bradley-terry")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bradley-terry", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bradley_terry(reward_chosen, reward_rejected):
    """The probability that chosen is preferred to rejected."""
    ### BEGIN SOLUTION
    # only the difference counts; torch's sigmoid is stable in value and gradient
    return torch.sigmoid(reward_chosen - reward_rejected)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bradley-terry", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bradley-terry", bradley_terry)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bradley-terry", bradley_terry)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. The partition function cancels
#
# Everything is in place. Put the full reward of line 8, with its $\beta\log Z(x)$, into Bradley–Terry.

# %% [markdown]
# ### Exercise: cancel it
#
# `cancel-partition` · difficulty 3/5 · about 15 minutes · 5 points
#
# Write $P(y_w \succ y_l)$ in sympy, in terms of log-probabilities. Substitute $r(x,y) = \beta\,(\log \pi(y\mid x) - \log\pi_{\mathrm{ref}}(y\mid x)) + \beta \log Z(x)$ for both responses into Bradley–Terry (Rafailov et al., equations 1, 5 and 6).
#
# - `policy_logp`, `ref_logp`: pairs (chosen, rejected) of sympy symbols for log-probabilities; `beta`, `log_z`: symbols.
# - Returns one sympy expression, a probability, in which `log_z` no longer occurs. Any equivalent form will do.
#
# Graded: the probability (3), `log_z` has cancelled (2).
#
# Stuck? Run `hint("cancel-partition")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "cancel-partition", "locked": false, "schema_version": 3, "solution": true, "task": false}
def preference_probability(policy_logp, ref_logp, beta, log_z):
    """Bradley-Terry with the policy's full rewards; log_z cancels."""
    ### BEGIN SOLUTION
    chosen, rejected = (beta * (p - q) + beta * log_z for p, q in zip(policy_logp, ref_logp))
    # both responses answer the same prompt, so both hold the same log_z: it leaves with the difference
    difference = sympy.expand(chosen - rejected)
    return 1 / (1 + sympy.exp(-difference))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-cancel-partition", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("cancel-partition", preference_probability)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("cancel-partition", preference_probability)
### END HIDDEN TESTS

# %% [markdown]
# ### Lines 11 to 14: the loss appears

# %% tags=["experiment"]
log_w, log_l, ref_w, ref_l, z = logs = sympy.symbols("logpi_w logpi_l logref_w logref_l logZ", real=True)
PAIR = dict(zip((*logs, b), [-12.0, -15.0, -13.0, -14.0, 2.7, 0.1]))  # a pair: log-ratios +1 and -1, beta .1
margin = (log_w - ref_w) - (log_l - ref_l)
reward_w, reward_l = b * (log_w - ref_w) + b * z, b * (log_l - ref_l) + b * z
probability = use("cancel-partition", preference_probability)((log_w, log_l), (ref_w, ref_l), b, z)
loss = sympy.log(1 + sympy.exp(-b * margin))

line(
    11,
    "Bradley-Terry, divided by its numerator",
    sympy.exp(reward_w) / (sympy.exp(reward_w) + sympy.exp(reward_l)),
    1 / (1 + sympy.exp(reward_l - reward_w)),
    PAIR,
)
line(12, "beta log Z stands in both rewards and cancels", reward_w - reward_l, b * margin, PAIR)
line(13, "your probability, in log-ratios alone", probability, 1 / (1 + sympy.exp(-b * margin)), PAIR)
line(
    14,
    "its negative logarithm: the loss of one pair",
    -sympy.log(1 / (1 + sympy.exp(-b * margin))),
    loss,
    PAIR,
)
print("log Z still occurs:", "yes" if z in probability.free_symbols else "no")

# %% [markdown]
# Now replace $\pi^*$ by a policy $\pi_\theta$ that can be trained, and fit it to comparisons by maximum likelihood:
#
# $$\mathcal{L}_{\mathrm{DPO}}(\theta) = -\,\mathbb{E}_{(x, y_w, y_l)}\left[\log \sigma\!\left(\beta \log\frac{\pi_\theta(y_w\mid x)}{\pi_{\mathrm{ref}}(y_w\mid x)} - \beta \log\frac{\pi_\theta(y_l\mid x)}{\pi_{\mathrm{ref}}(y_l\mid x)}\right)\right]$$
#
# (Rafailov et al., equation 7.) This is a reward model's loss whose reward model *is* the policy. Nothing is sampled, and no second network is trained. At the start, with $\pi_\theta = \pi_{\mathrm{ref}}$, every margin is 0 and the loss is $\log 2 = 0.693$. If your first loss is anything else (with dropout off, and up to rounding), there is a bug. For the pair above (margin 2, β 0.1) line 14 shows the loss: 0.5981.
#
# *Why its minimiser is $\pi^*$.* For one pair the expected loss is the cross-entropy between the annotators' probability $P$ and $\sigma(\beta m)$, least exactly where $\sigma(\beta m) = P$. Under Bradley–Terry that says $\beta m = r(x, y_w) - r(x, y_l)$. If the comparisons link all responses of a prompt, $\hat r - r$ is one number $f(x)$ there. So $\pi_\theta = \pi_{\mathrm{ref}}\, e^{\hat r/\beta}$ is proportional to $\pi_{\mathrm{ref}}\, e^{r/\beta}$, and both sum to 1.
#
# What the loss does **not** contain is a KL term on the policy's own samples. The KL of section 1 was used to *find* the form of the loss; in the loss, β only scales a logit. Section 8 shows what follows from that.
#
# ## 7. The gradient

# %% [markdown]
# ### Exercise: the weight of a pair
#
# `dpo-gradient-weight` · difficulty 3/5 · about 10 minutes · 5 points
#
# With the margin $m = \log\frac{\pi_\theta(y_w)}{\pi_{\mathrm{ref}}(y_w)} - \log\frac{\pi_\theta(y_l)}{\pi_{\mathrm{ref}}(y_l)}$ of a pair, its loss is $\mathcal{L} = -\log\sigma(\beta m)$ (Rafailov et al., equation 7). The gradient of the loss has the form
#
# $$\nabla_\theta \mathcal{L} = -\,w(m)\, \big[\nabla_\theta \log \pi_\theta(y_w) - \nabla_\theta \log \pi_\theta(y_l)\big]$$
#
# Find the weight $w$.
#
# - `margin`: a float tensor of any shape; `beta`: a positive float that is not in the margin yet.
# - Returns the shape of `margin`.
#
# Graded: values (3), stable for margins of ±1e4 in value and gradient (1), gradient into the margin (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("dpo-gradient-weight")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "dpo-gradient-weight", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dpo_gradient_weight(margin, beta):
    """The factor before the bracket, positive."""
    ### BEGIN SOLUTION
    # d/dx of -log sigmoid(x) is -sigmoid(-x); the chain rule through x = beta * margin gives beta
    return beta * torch.sigmoid(-beta * margin)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-dpo-gradient-weight", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("dpo-gradient-weight", dpo_gradient_weight)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("dpo-gradient-weight", dpo_gradient_weight)
### END HIDDEN TESTS

# %% [markdown]
# ### Lines 15 to 17: sympy differentiates
#
# The weight is $w(m) = \beta\, \sigma(-\beta m)$ (Rafailov et al., section 4, "What does the DPO update do?"). It is the same for both responses, and it depends on the margin alone.

# %% tags=["experiment"]
weight = use("dpo-gradient-weight", dpo_gradient_weight)
sigma_minus = 1 / (1 + sympy.exp(b * margin))

line(15, "slope by log pi of the chosen: minus the weight", sympy.diff(loss, log_w), -b * sigma_minus, PAIR)
line(
    16,
    "slope by log pi of the rejected: plus the same weight",
    sympy.diff(loss, log_l),
    b * sigma_minus,
    PAIR,
)
line(
    17,
    "the weight falls as the margin grows",
    sympy.diff(b * sigma_minus, log_w),
    -(b**2) * sigma_minus * (1 - sigma_minus),
    PAIR,
)
number = weight(torch.tensor([2.0], dtype=torch.float64), 0.1).item()
print(f"your weight for margin 2, beta .1: {number:.6f}")

# %% [markdown]
# Three readings of this gradient are common, and wrong or half right.
#
# 1. *"The gradient is proportional to $\sigma(-\beta m)$."* True, but the hidden factor is **β**. As β goes to 0 each pair's gradient vanishes. Plain gradient descent feels that as a smaller step; Adam, which rescales gradients, hardly does.
# 2. *"A positive margin means that the policy ranks the pair correctly, and then the weight is small."* The margin compares with the *reference*. $m > 0$ says that the policy moved the right way, not that $\pi(y_w) > \pi(y_l)$. And $\sigma(-\beta m)$, the weight without its β, is small only when $m \gg 1/\beta$, as the next cell shows.
# 3. *"The update raises $\pi(y_w)$ and lowers $\pi(y_l)$."* Only the **margin** is pushed up. The log-probabilities of both can fall, because the two gradients pass through the same parameters; the fall of the chosen one is called likelihood displacement (Razin et al. 2024, arXiv 2410.08847). Notebook 02 measures it.

# %% tags=["experiment"]
margins = torch.linspace(-40, 40, 161, dtype=torch.float64)
for m in (0.0, 1.0, 10.0, 50.0):
    share = weight(torch.tensor([m], dtype=torch.float64), 0.1).item() / 0.1
    print(f"beta .1, margin {m:>4g}: sigma(-beta m) = {share:.3f}")
fig, ax = plots.figure()
for price in (0.1, 0.3, 1.0):
    ax.plot(margins, weight(margins, price) / price, label=f"β = {price:g}")
ax.axvline(0, color="black", linewidth=0.8, linestyle="-")
ax.set(xlabel="margin (nats)", ylabel="weight / β")
ax.legend()
plots.show(
    fig,
    "The weight of a pair divided by beta, against its margin: the fall from one to zero is wide for a small beta and steep for a large one.",
)

# %% [markdown]
# ## 8. The theory, tried
#
# ### A world where everything is known
#
# Eight prompts with six responses each, a random reference and a random reward. An annotator who satisfies Bradley–Terry *exactly* compares two different responses drawn from the reference. The policy is a table of logits, so it can represent anything. If the theory is right, training with the DPO loss must find $\pi^*$.
#
# The training below is full batch: `weights[..., i, j]` says how often response $i$ beat response $j$.

# %% tags=["experiment"]
world = tabular.make_world(prompts=8, responses=6, seed=0)
target = optimal(world.reference, world.reward, beta)


def train_dpo(weights, ref, beta, steps, lr=0.1):
    """Full-batch DPO on tables: weights (..., X, Y, Y), chosen by rejected. Returns the log-policy."""
    logits = ref.log().expand(weights.shape[:-1]).clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    weights = weights / weights.sum(dim=(-3, -2, -1), keepdim=True)
    for _ in range(steps):
        ratio = logits.log_softmax(-1) - ref.log()
        pair_margin = ratio.unsqueeze(-1) - ratio.unsqueeze(-2)  # chosen minus rejected, all pairs
        loss = -(weights * torch.nn.functional.logsigmoid(beta * pair_margin)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return logits.detach().log_softmax(-1)


# %% [markdown]
# **First, exact preferences:** every pair, weighted by how often it is shown and by its Bradley–Terry probability. This is the limit of infinitely many comparisons.
#
# How far a policy $p$ is from $\pi^*$ is measured in **total variation**, half the sum of $|p - \pi^*|$ over the responses: the largest difference in the probability of any event.

# %% tags=["experiment"]
wins = use("bradley-terry", bradley_terry)

columns = world.reward.unsqueeze(-1).expand(-1, -1, 6)
exact = tabular.pair_probabilities(world.reference) * wins(columns, columns.transpose(1, 2))
learned = train_dpo(exact, world.reference, beta, steps=at_scale(600, 1000))
distance = tabular.total_variation(learned.exp(), target)
print(
    f"start: total variation to the optimal policy {tabular.total_variation(world.reference, target).mean():.3f} on average"
)
print(
    f"after DPO on exact preferences, at most 1e-3 in every prompt: {'yes' if distance.max() < 1e-3 else 'no'}"
)
print(
    f"its implicit reward is in the class of the true reward (to .01): "
    f"{'yes' if equivalent(implied(learned, world.reference.log(), beta), world.reward, 0.01) else 'no'}"
)

# %% [markdown]
# DPO found $\pi^*$ without ever seeing the reward, and its implicit reward is the true one *up to a function of the prompt*. The figure shows that function: within a prompt the points lie on a line of slope 1, and each prompt has its own offset, $-\beta \log Z(x)$.

# %% tags=["experiment"]
fig, ax = plots.figure(size=(5.6, 4.2))
hat = implied(learned, world.reference.log(), beta)
for row, marker in zip(range(4), "os^D"):
    order = world.reward[row].argsort()
    ax.plot(world.reward[row][order], hat[row][order], marker=marker, label=f"prompt {row + 1}")
ax.set(xlabel="true reward", ylabel="implicit reward of the trained policy", aspect="equal")
ax.legend()
plots.show(
    fig,
    "Implicit against true reward for four prompts: parallel lines of slope one, each with its own offset.",
)

# %% [markdown]
# **Then samples.** Real data is finite. The same training on 300 to 30,000 sampled comparisons, several draws each.

# %% tags=["experiment", "nbval-ignore-output"]
sizes = at_scale([300, 3000], [300, 1000, 3000, 10000, 30000])
draws = at_scale(2, 5, 20)
counts = torch.stack(
    [
        tabular.pair_counts(tabular.sample_pairs(world, n, seed=100 * draw + 1), 8, 6)
        for n in sizes
        for draw in range(draws)
    ]
)
fitted = train_dpo(counts, world.reference, beta, steps=at_scale(400, 800))
error = tabular.total_variation(fitted.exp(), target).mean(-1).reshape(len(sizes), draws)
print(
    pd.DataFrame({"pairs": sizes, "total variation, mean": error.mean(1), "standard deviation": error.std(1)})
    .round(3)
    .to_string(index=False)
)

fig, ax = plots.figure()
for column in range(draws):
    ax.plot(
        sizes,
        error[:, column],
        "o",
        color=plots.COLOURS[3],
        markersize=4,
        label=None if column else "one draw",
    )
ax.plot(sizes, error.mean(1), "-", color=plots.COLOURS[0], label="mean of the draws")
ax.plot(
    sizes, error.mean(1)[-1] * (sizes[-1] / np.array(sizes)) ** 0.5, ":", color="black", label="slope of 1/√n"
)
ax.set(xscale="log", yscale="log", xlabel="comparisons (over 8 prompts)", ylabel="total variation to π*")
ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
ax.set_yticks(
    ticks := [t for t in (0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5) if error.min() < t < error.max()],
    map(str, ticks),
)
ax.minorticks_off()
ax.legend()
plots.show(
    fig,
    "Total variation between the trained and the optimal policy against the number of comparisons, on logarithmic axes: it falls about like one over the square root.",
)

# %% tags=["experiment"]
falls = bool((error.mean(1)[1:] < error.mean(1)[:-1]).all())
print(f"more comparisons, smaller distance, at every step: {'yes' if falls else 'no'}")
print(f"and always larger than with exact preferences: {'yes' if error.min() > distance.mean() else 'no'}")

# %% [markdown]
# So the theory holds where its assumptions hold: Bradley–Terry annotators, pairs that cover every response, a policy that can represent anything, enough data, an optimiser that gets there. With 300 pairs over 8 prompts the distance is still large, for two reasons. Few samples are noisy. And in a prompt where some response always won, or always lost, the loss has no finite minimum, so longer training leads further away. The next section isolates that.
#
# ### Deterministic preferences
#
# Now one pair that is compared again and again: two responses, a uniform reference, and the first is preferred with probability $p$. Let $h$ be the pair's margin ($m$ in section 7), $\tau > 0$ IPO's regularisation strength, and $p$ now the probability that the first is preferred. Setting the derivative of the expected loss to zero (for DPO: $\sigma(\beta h) = p$) gives
#
# | | expected loss | minimum |
# |---|---|---|
# | DPO | $-p \log\sigma(\beta h) - (1-p)\log\sigma(-\beta h)$ | $h = \operatorname{logit}(p)/\beta$ |
# | IPO | $p\,(h - \tfrac{1}{2\tau})^2 + (1-p)\,(h + \tfrac{1}{2\tau})^2$ | $h = (2p-1)/(2\tau)$ |
#
# IPO is the loss of Azar et al. (arXiv 2310.12036, equation 17); you will write it in notebook 03. The cell minimises both numerically and compares.


# %% tags=["experiment"]
def expected_dpo(h, p, beta):
    return p * np.logaddexp(0, -beta * h) + (1 - p) * np.logaddexp(0, beta * h)


def expected_ipo(h, p, tau):
    return p * (h - 1 / (2 * tau)) ** 2 + (1 - p) * (h + 1 / (2 * tau)) ** 2


rows = []
for share in (0.7, 0.85, 0.95):
    found = [
        optimize.minimize_scalar(
            f, bounds=(-100, 100), args=(share, 0.1), method="bounded", options={"xatol": 1e-9}
        ).x
        for f in (expected_dpo, expected_ipo)
    ]
    rows.append([share, found[0], math.log(share / (1 - share)) / 0.1, found[1], (2 * share - 1) / 0.2])
print(
    pd.DataFrame(rows, columns=["p", "DPO found", "logit(p)/beta", "IPO found", "(2p-1)/(2 tau)"])
    .round(3)
    .to_string(index=False)
)
slope = [float(expected_dpo(h + 1e-4, 1.0, 0.1) - expected_dpo(h, 1.0, 0.1)) for h in (0.0, 50.0, 200.0)]
print(f"p = 1: DPO's loss still falls at h = 0, 50, 200: {['yes' if s < 0 else 'no' for s in slope]}")

# %% [markdown]
# With $p < 1$ both are finite. With $p = 1$ DPO has **no minimum**: the loss falls for ever as $h$ grows, for *every* β. IPO stops at $1/(2\tau)$. (Azar et al., section 4.2, make this point: the more deterministic the preferences, the weaker the KL regularisation.) Watch it happen.

# %% tags=["experiment", "nbval-ignore-output"]
runs = {
    "DPO, β = 0.1": ("dpo", 0.1),
    "DPO, β = 1": ("dpo", 1.0),
    "IPO, τ = 0.1": ("ipo", 0.1),
    "IPO, τ = 0.5": ("ipo", 0.5),
}
is_dpo = torch.tensor([kind == "dpo" for kind, _ in runs.values()])
strength = torch.tensor([value for _, value in runs.values()], dtype=torch.float64)
h = torch.zeros(4, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([h], lr=0.05)
total = at_scale(1000, 4000)
trace = []
for _ in range(total):
    # every label says that the first response is better
    loss = torch.where(is_dpo, -torch.nn.functional.logsigmoid(strength * h), (h - 1 / (2 * strength)) ** 2)
    optimizer.zero_grad()
    loss.sum().backward()
    optimizer.step()
    trace.append(h.detach().clone())
trace = torch.stack(trace)
loser = torch.sigmoid(-trace)  # probability of the rejected response
marks = [100, 1000] + ([4000] if total >= 4000 else [])
print(
    pd.DataFrame({f"after {n}": loser[n - 1].tolist() for n in marks}, index=list(runs))
    .map(lambda v: f"{v:.1e}")
    .to_string()
)

fig, ax = plots.figure()
for column, name in enumerate(runs):
    ax.plot(range(1, total + 1), loser[:, column], label=name)
ax.set(xscale="log", yscale="log", ylim=(1e-8, 1), xlabel="step", ylabel="P(rejected response)")
ax.legend(loc="lower left")
plots.show(
    fig,
    "Probability of the rejected response during training on one deterministic preference: it keeps falling under DPO for both betas, at β = 0.1 out of the plot, and levels off under IPO.",
)

# %% tags=["experiment"]
half = total // 2
print(
    f"DPO still pushes in the second half of the run, at both betas: {'yes' if (trace[-1, :2] > trace[half, :2] + 0.1).all() else 'no'}"
)
bounds = torch.sigmoid(-1 / (2 * strength[2:]))
print(
    f"IPO has stopped at sigma(-1/(2 tau)) = {[round(v, 4) for v in bounds.tolist()]}: {'yes' if torch.allclose(loser[-1, 2:], bounds, atol=1e-3) else 'no'}"
)

# %% [markdown]
# A larger β does not save DPO here. The loss depends on $\beta h$ only, so β sets how far a given fall of the loss carries the policy, at β = 0.1 ten times as far as at β = 1. It does not set where the policy stops: at no β does it stop. With a finite data set every pair that was labelled once looks deterministic, so this is the ordinary case and not a curiosity. In practice training ends first (few steps, small learning rates), and shared parameters couple the pairs.
#
# Note what IPO is *not* shown to do here: it is not a method for noisy labels. Noise (say, $p = 0.85$ where it should be 1) *bounds* DPO's optimum. IPO's point is the opposite case, labels that are too clean.
#
# ## 9. What is proved, and what is not
#
# **Proved** (here, under the conditions of each line):
#
# - $\pi^*$ is the unique maximiser of the penalised objective, if $\pi_{\mathrm{ref}} > 0$ and $Z(x)$ is finite.
# - Rewards that differ by $f(x)$ have the same optimum and the same Bradley–Terry preferences.
# - If annotators follow Bradley–Terry with reward $r$, the data is infinite and covers all responses, and the policy class is unrestricted, then the minimiser of the DPO loss is $\pi^*$.
#
# **Not proved**, though often said:
#
# - *"DPO converges to the same policy as RLHF."* The two share an **optimum** under the conditions above. Nothing is said about the path there, about finite data, or about a network that cannot represent $\pi^*$. Responses outside the data are not held in place by anything.
# - *"DPO has no proxy and no reward-model error."* The labels are a proxy, and the policy *is* a fitted reward model. Policies trained this way over-optimise as RLHF's do (Rafailov et al. 2024, arXiv 2406.02900). Notebook 05 returns to it.
# - *"The KL term regularises DPO by itself."* There is no KL term in the loss (section 6), and with deterministic preferences nothing holds the policy (section 8).
# - *"DPO needs two models where PPO needs four."* True of the roles in a plain implementation: policy and reference, against policy, reference, reward model and critic. They need not be of equal size, and DPO's reference log-probabilities can be computed once and kept.
#
# ### Misconceptions met on the way
#
# | what is said | what is so | where |
# |---|---|---|
# | the objective is constrained | it is penalised; β is the constraint's multiplier | 1, 3 |
# | one λ for the whole problem | one $\lambda(x)$ per prompt | 2 |
# | a stationary point was found, done | strict concavity makes it the unique maximum; positivity comes by itself | 2 |
# | rewards and policies are one-to-one | policies and *classes* of rewards are | 4 |
# | $C$ is a state-dependent constant | it depends on the prompt | 4 |
# | human preferences *are* Bradley–Terry | they are modelled so; it is an assumption | 5 |
# | DPO's loss contains a KL penalty | β scales a logit; no KL on policy samples | 6, 8 |
# | the gradient has no β in front | it has: β σ(−βm), not σ(−βm) | 7 |
# | margin > 0 means correctly ranked | it means moved the right way from the reference | 7 |
# | the chosen response becomes likelier | only the margin is pushed up | 7, notebook 02 |
# | a larger β stops deterministic preferences | DPO diverges at every β | 8 |
# | DPO provably converges to RLHF's policy | shared optimum, under conditions | 9 |
#
# ## Practice question

# %% [markdown] nbgrader={"grade": false, "grade_id": "practice-1-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **How does DPO eliminate the reward model?** Answer in 250 to 400 words, with the formulas. Graded by hand, 10 points:
#
# | points | for |
# |---|---|
# | 1 | the KL-regularised objective, with β and $\pi_{\mathrm{ref}}$ |
# | 2 | the closed-form optimum with $Z(x)$, and why $Z(x)$ cannot be computed |
# | 1 | the inversion $r = \beta \log(\pi^*/\pi_{\mathrm{ref}}) + \beta \log Z(x)$ |
# | 2 | Bradley–Terry depends on differences only, so $Z(x)$ cancels |
# | 2 | maximum likelihood over $\pi$ gives the loss; the policy *is* an implicit reward model, determined up to $f(x)$: equivalence classes |
# | 1 | what it saves: no separate reward model, critic or sampling; two roles in place of four, and the reference can be cached |
# | 1 | limits, all four: coverage of the offline data, the Bradley–Terry assumption, over-optimisation persists, equivalence only under conditions |
#
# One point is taken off for each of these: "one-to-one with rewards"; "converges to the same policy" without conditions; "no proxy" or "no reward model error"; an invented speed-up.

# %% [markdown] nbgrader={"grade": true, "grade_id": "practice-1", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "RLHF trains a reward model on human preferences and then uses PPO to maximise $E[r] - \beta\,\mathrm{KL}(\pi \| \pi_{\mathrm{ref}})$. DPO shows that you do not need the reward model, because there is a one-to-one mapping between the reward and the optimal policy: $\pi^* \propto \pi_{\mathrm{ref}} \exp(r/\beta)$. So the policy can be trained directly on the preference pairs with a classification loss. The constant cancels. This is simpler and more stable, needs no critic and no sampling, and converges to the same solution as RLHF."
#
# *3 of 10.* Objective with β and reference (1). The optimum without $Z(x)$ or why it matters (1 of 2). No inversion (0). "The constant cancels" without Bradley–Terry or a difference (1 of 2). A loss is mentioned, not given; nothing on what the policy determines (1 of 2). No reward model, critic or sampling (1). No limits (0). That is 5; minus 1 for "one-to-one", minus 1 for "converges to the same solution".
#
# **About 6 points.** "The objective $\max_\pi E_\pi[r] - \beta\,\mathrm{KL}(\pi\|\pi_{\mathrm{ref}})$ has the solution $\pi^*(y|x) = \frac{1}{Z(x)} \pi_{\mathrm{ref}}(y|x) \exp(r(x,y)/\beta)$, where $Z(x)$ sums over all responses and is intractable. Solving for the reward: $r = \beta \log \frac{\pi^*}{\pi_{\mathrm{ref}}} + \beta \log Z(x)$. In the Bradley–Terry model $P(y_w \succ y_l) = \sigma(r_w - r_l)$, $Z(x)$ is in both terms and cancels. Maximum likelihood then gives $-\log\sigma(\beta \log\frac{\pi(y_w)}{\pi_{\mathrm{ref}}(y_w)} - \beta\log\frac{\pi(y_l)}{\pi_{\mathrm{ref}}(y_l)})$. No reward model is trained, so there is no reward model error."
#
# *6 of 10.* Objective (1), optimum and why intractable (2), inversion (1), cancellation (2), loss, but not that the policy is the implicit reward model and what it leaves open (1 of 2). What it saves is named only as the missing reward model (0). No limits (0). That is 7; minus 1 for "no reward model error".
#
# **About 9 points.** The derivation as in the 6-point answer, then: "The trained policy is itself a reward model, $\hat r = \beta \log \pi_\theta/\pi_{\mathrm{ref}}$. It is determined only up to a function of the prompt: rewards that differ by $f(x)$ have the same preferences and the same optimal policy, so the correspondence is between policies and equivalence classes of rewards. DPO thus removes the *separate* reward model and, with it, the critic and the sampling of PPO: two roles, policy and reference, and the reference's log-probabilities can be computed beforehand. The equivalence is of optima. It needs preferences that follow Bradley–Terry, data that covers the responses, and a policy class that contains $\pi^*$. Where a response always wins or always loses in the data, the loss has no finite minimum, and nothing in it holds the policy near the reference."
#
# *9 of 10.* The fourth limit is missing: the labels remain a proxy that can be over-optimised.
# ### END SOLUTION
