"""The closed forms: worked values, identities, gradients, extreme inputs, and what they refuse."""

import math

import pytest
import sympy
import torch

from course_utils import theory
from course_utils.checks.definition import Case
from course_utils.checks.symbolic import Points, observe_expression, observe_lagrangian
from course_utils.testbed import tabular

REFERENCE = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
REWARD = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
BETA = 0.5


def close(seen, wanted, atol=5e-5):
    return torch.allclose(seen, torch.tensor(wanted, dtype=seen.dtype), atol=atol, rtol=0)


def tables(seed=0, shape=(3, 4)):
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    return torch.softmax(draw[0], -1), torch.softmax(draw[1], -1), draw[2]


# --- worked values -----------------------------------------------------------------------------


def test_the_worked_example():
    policy = theory.optimal_policy(REFERENCE, REWARD, BETA)
    assert close(policy, [0.2477, 0.0201, 0.7322])
    assert close(theory.log_partition(REFERENCE, REWARD, BETA).exp(), 14.914, 5e-4)
    assert close(theory.kl_objective(policy, REFERENCE, REWARD, BETA), 1.3512)
    assert close((policy * REWARD).sum(), 1.7121)
    assert close((policy * (policy / REFERENCE).log()).sum(), 0.7218)


@pytest.mark.parametrize(
    ("policy", "value"),
    [((0.4942, 0.1799, 0.3259), 1.115), ((0.1173, 0.0159, 0.8668), 1.324), ((0.0, 0.0, 1.0), 1.195)],
)
def test_wrong_policies_have_a_lower_objective(policy, value):
    wrong = torch.tensor(policy, dtype=torch.float64)
    assert close(theory.kl_objective(wrong, REFERENCE, REWARD, BETA), value, 6e-4)


def test_the_worked_pair():
    policy = torch.tensor([-12.0, -15.0], dtype=torch.float64)
    reference = torch.tensor([-13.0, -14.0], dtype=torch.float64)
    reward = theory.implicit_reward(policy, reference, 0.1)
    assert close(reward, [0.1, -0.1], 1e-12)
    chosen = theory.bradley_terry(reward[:1], reward[1:])
    assert close(-chosen.log(), [0.598139], 1e-6)
    margin = torch.tensor([2.0, 1.0, 10.0], dtype=torch.float64)
    weight = theory.dpo_gradient_weight(margin, 0.1)
    assert close(weight, [0.0450166, 0.0475021, 0.0268941], 1e-7)
    assert close(theory.bradley_terry(torch.tensor([2.0]), torch.tensor([1.0])), [0.7311])


# --- identities --------------------------------------------------------------------------------


def test_gibbs_the_objective_is_its_maximum_less_beta_times_the_kl_to_the_optimum():
    policy, reference, reward = tables()
    optimum = theory.optimal_policy(reference, reward, 0.4)
    regret = 0.4 * (policy * (policy.log() - optimum.log())).sum(-1)
    best = 0.4 * theory.log_partition(reference, reward, 0.4)
    torch.testing.assert_close(theory.kl_objective(policy, reference, reward, 0.4), best - regret)
    torch.testing.assert_close(theory.kl_objective(optimum, reference, reward, 0.4), best)


def test_the_implicit_reward_of_the_optimum_is_the_reward_less_beta_log_z():
    _, reference, reward = tables(1)
    optimum = theory.optimal_policy(reference, reward, 0.3)
    offset = 0.3 * theory.log_partition(reference, reward, 0.3).unsqueeze(-1)
    implied = theory.implicit_reward(optimum.log(), reference.log(), 0.3)
    torch.testing.assert_close(implied, reward - offset)
    assert theory.same_policy(implied, reward)
    nothing = theory.log_partition(reference, implied, 0.3)
    torch.testing.assert_close(nothing, torch.zeros_like(nothing))


def test_a_shift_is_free_and_a_scale_is_beta():
    _, reference, reward = tables(2)
    shift = torch.tensor([[5.0], [-3.0], [100.0]], dtype=torch.float64)
    policy = theory.optimal_policy(reference, reward, 0.5)
    torch.testing.assert_close(theory.optimal_policy(reference, reward + shift, 0.5), policy)
    torch.testing.assert_close(
        theory.optimal_policy(reference, 3 * reward, 0.5), theory.optimal_policy(reference, reward, 0.5 / 3)
    )
    assert theory.same_policy(reward, reward + shift)
    assert not theory.same_policy(reward, 3 * reward)


def test_the_weight_is_minus_the_slope_of_the_loss():
    margin = torch.linspace(-30, 30, 13, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(-torch.nn.functional.logsigmoid(0.3 * margin).sum(), margin)
    torch.testing.assert_close(theory.dpo_gradient_weight(margin, 0.3).detach(), -slope)


def test_the_reference_may_broadcast():
    rewards = tables()[2][:, :3]
    policies = theory.optimal_policy(REFERENCE, rewards, BETA)
    assert policies.shape == rewards.shape
    torch.testing.assert_close(policies[1], theory.optimal_policy(REFERENCE, rewards[1], BETA))
    torch.testing.assert_close(policies.sum(-1), torch.ones(3, dtype=torch.float64))


def test_a_response_with_no_probability_counts_as_the_limit():
    certain = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    value = theory.kl_objective(certain, REFERENCE, REWARD, BETA)
    assert value.item() == pytest.approx(2 - 0.5 * math.log(5))


@pytest.mark.parametrize(
    ("change", "tol", "same"),
    [(0.9, 1.0, True), (1.1, 1.0, False), (-1.1, 1.0, False), (9e-7, None, True), (2e-6, None, False)],
)
def test_the_tolerance_is_the_spread_of_the_difference_in_units_of_reward(change, tol, same):
    reward = tables()[2]
    other = reward + torch.tensor([[7.0], [0.0], [-50.0]], dtype=torch.float64)
    other[1, 2] += change
    verdict = theory.same_policy(reward, other) if tol is None else theory.same_policy(reward, other, tol)
    assert verdict.dtype == torch.bool and verdict.shape == () and verdict.item() is same


# --- gradients, dtype, extremes ----------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda pi, ref, reward: theory.kl_objective(pi, ref, reward, 0.4),
        lambda pi, ref, reward: theory.log_partition(ref, reward, 0.4),
        lambda pi, ref, reward: theory.optimal_policy(ref, reward, 0.4),
        lambda pi, ref, reward: theory.implicit_reward(pi.log(), ref.log(), 0.4),
        lambda pi, ref, reward: theory.bradley_terry(pi, reward),
        lambda pi, ref, reward: theory.dpo_gradient_weight(reward, 0.4),
    ],
    ids=["kl_objective", "log_partition", "optimal_policy", "implicit_reward", "bradley_terry", "weight"],
)
def test_gradients_are_those_of_finite_differences_and_dtype_is_kept(call):
    inputs = tables()
    leaves = [t.clone().requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(call, leaves)
    before = [t.clone() for t in inputs]
    assert call(*inputs).dtype == torch.float64
    assert call(*(t.float() for t in inputs)).dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_rewards_give_finite_values_and_gradients(dtype):
    reference = REFERENCE.to(dtype)
    for size in (1e3, -1e3):
        reward = (size + torch.tensor([0.1, 0.0, 0.2])).to(dtype).requires_grad_()
        policy = theory.optimal_policy(reference, reward, 0.1)
        log_z = theory.log_partition(reference, reward, 0.1)
        (slope,) = torch.autograd.grad(log_z + policy[0], reward)
        assert torch.isfinite(slope).all()
        assert policy.sum().item() == pytest.approx(1, abs=1e-6)
        assert log_z.item() == pytest.approx(size / 0.1, rel=1e-3)
    far = torch.tensor([1e3, -1e3], dtype=dtype, requires_grad=True)
    wins = theory.bradley_terry(far, -far)
    weights = theory.dpo_gradient_weight(10 * far, 0.1)
    (slope,) = torch.autograd.grad(wins.sum() + weights.sum(), far)
    assert wins.tolist() == [1.0, 0.0] and torch.isfinite(slope).all()
    assert weights.tolist() == pytest.approx([0.0, 0.1])


# --- what is refused ---------------------------------------------------------------------------

EMPTY = torch.zeros(0, 3, dtype=torch.float64)
INTEGERS = torch.tensor([1, 0, 2])
UNEVEN = torch.tensor([0.5, 0.3, 0.3], dtype=torch.float64)
ZERO = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
TABLE = torch.zeros(2, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("beta", lambda: theory.kl_objective(REFERENCE, REFERENCE, REWARD, 0.0)),
        ("beta", lambda: theory.log_partition(REFERENCE, REWARD, -1.0)),
        ("beta", lambda: theory.optimal_policy(REFERENCE, REWARD, math.nan)),
        ("beta", lambda: theory.implicit_reward(REWARD, REWARD, 0.0)),
        ("beta", lambda: theory.dpo_gradient_weight(REWARD, math.inf)),
        ("pi", lambda: theory.kl_objective(UNEVEN, REFERENCE, REWARD, BETA)),
        ("pi", lambda: theory.kl_objective(torch.tensor(1.0), REFERENCE, REWARD, BETA)),
        ("pi", lambda: theory.kl_objective(EMPTY, EMPTY, EMPTY, BETA)),
        ("pi_ref", lambda: theory.kl_objective(REFERENCE, ZERO, REWARD, BETA)),
        ("pi_ref", lambda: theory.kl_objective(REFERENCE, REFERENCE[:2] / 0.8, REWARD, BETA)),
        ("reward", lambda: theory.kl_objective(REFERENCE, REFERENCE, REWARD[:2], BETA)),
        ("pi_ref", lambda: theory.optimal_policy(UNEVEN, REWARD, BETA)),
        ("pi_ref", lambda: theory.optimal_policy(REFERENCE, REWARD[:2], BETA)),
        ("pi_ref", lambda: theory.log_partition(REFERENCE.expand(4, 3), TABLE, BETA)),
        ("reward", lambda: theory.log_partition(REFERENCE, INTEGERS, BETA)),
        ("policy_logp", lambda: theory.implicit_reward(EMPTY, EMPTY, BETA)),
        ("ref_logp", lambda: theory.implicit_reward(REWARD, REWARD[:2], BETA)),
        ("reward_chosen", lambda: theory.bradley_terry(EMPTY, EMPTY)),
        ("reward_rejected", lambda: theory.bradley_terry(REWARD, TABLE)),
        ("margin", lambda: theory.dpo_gradient_weight(EMPTY, BETA)),
        ("reward_a", lambda: theory.same_policy(REWARD, REWARD)),
        ("reward_b", lambda: theory.same_policy(TABLE, TABLE[:1])),
        ("tol", lambda: theory.same_policy(TABLE, TABLE, -1.0)),
        ("prompts", lambda: tabular.make_world(0, 3)),
        ("responses", lambda: tabular.make_world(2, 1)),
        ("n", lambda: tabular.sample_pairs(tabular.make_world(2, 3), 0)),
        ("noise", lambda: tabular.sample_pairs(tabular.make_world(2, 3), 5, noise=-1.0)),
        ("flips", lambda: tabular.sample_pairs(tabular.make_world(2, 3), 5, flips=1.5)),
    ],
)
def test_wrong_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


# --- the tabular world -------------------------------------------------------------------------


def test_sampled_pairs_follow_bradley_terry():
    world = tabular.make_world(2, 3, seed=3)
    pairs = tabular.sample_pairs(world, 60_000, seed=4)
    assert (pairs.chosen != pairs.rejected).all()
    counts = tabular.pair_counts(pairs, 2, 3)
    assert counts.sum() == 60_000
    shown = counts + counts.transpose(1, 2)
    share = counts / shown.clamp_min(1)
    rows = world.reward.unsqueeze(-1).expand(-1, -1, 3)
    wanted = theory.bradley_terry(rows, rows.transpose(1, 2))
    off = ~torch.eye(3, dtype=torch.bool).expand(2, 3, 3)
    assert (share - wanted)[off].abs().max() < 0.03
    expected = tabular.pair_probabilities(world.reference)
    torch.testing.assert_close(expected.sum((1, 2)), torch.ones(2, dtype=torch.float64))
    assert (shown / shown.sum((1, 2), keepdim=True) - expected).abs().max() < 0.01


def test_pairs_without_noise_follow_the_reward_and_flips_turn_them_round():
    world = tabular.make_world(4, 5, seed=1)
    clean = tabular.sample_pairs(world, 500, seed=2, noise=0.0)
    gain = world.reward[clean.prompt, clean.chosen] - world.reward[clean.prompt, clean.rejected]
    assert (gain > 0).all()
    turned = tabular.sample_pairs(world, 500, seed=2, noise=0.0, flips=1.0)
    assert torch.equal(turned.chosen, clean.rejected) and torch.equal(turned.rejected, clean.chosen)


def test_total_variation():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    q = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
    assert tabular.total_variation(p, q).tolist() == [0.5, 1.0]


# --- how symbolic answers are read -------------------------------------------------------------

X, Y, GONE = sympy.symbols("x y gone")
CASE = Case((X, Y), extra=Points(({X: 0.5, Y: 2.0},), gone=(GONE,), count=2))


@pytest.mark.parametrize(
    ("answer", "kind", "symbols", "gone"),
    [
        (lambda x, y: [x, y**2], "2 expressions", "only the given symbols", "cancelled"),
        (lambda x, y: (0.5, 4), "2 expressions", "only the given symbols", "cancelled"),
        (lambda x, y: sympy.Matrix([x, 2 * y]), "2 expressions", "only the given symbols", "cancelled"),
        (lambda x, y: [x + GONE - GONE, y + sympy.Symbol("mu")], "2 expressions", "also mu", "cancelled"),
        (lambda x, y: [x * GONE, y], "2 expressions", "only the given symbols", "gone is still in it"),
        (lambda x, y: x, "one expression", None, None),
        (lambda x, y: [x], "1 expressions", None, None),
        (lambda x, y: None, "None (is there a `return`?)", None, None),
        (lambda x, y: "x + y", "a str", None, None),
        (lambda x, y: [sympy.Eq(x, y), y], "an Equality", None, None),
    ],
)
def test_what_a_symbolic_answer_is(answer, kind, symbols, gone):
    seen = observe_expression(answer, CASE)
    assert seen["kind"] == kind
    if symbols:
        assert (seen["symbols"], seen["gone"]) == (symbols, gone)


def test_values_are_those_of_any_form_and_nan_where_there_is_none():
    case = Case((X, Y), extra=Points(({X: 0.5, Y: 2.0},)))
    for answer in (lambda x, y: x * y, lambda x, y: sympy.exp(sympy.log(x) + sympy.log(y)), lambda x, y: 1.0):
        assert observe_expression(answer, case)["result"].item() == pytest.approx(1.0)
    assert math.isnan(observe_expression(lambda x, y: sympy.sqrt(-x), case)["result"].item())
    assert math.isnan(observe_expression(lambda x, y: 1 / (x - x.func("x")), case)["result"].item())
    assert "error" in observe_expression(lambda x, y: 1 / 0, case)


def test_either_sign_of_a_multiplier_reads_the_same():
    (p1, p2), lam = sympy.symbols("p1 p2"), sympy.Symbol("lam")
    points = Points(({p1: 0.4, p2: 1.1, lam: 0.7}, {p1: 0.2, p2: 0.3, lam: 1.2}))
    case = Case(([p1, p2], lam), extra=points)
    plus, minus = (
        observe_lagrangian(lambda p, m, s=s: p[0] ** 2 + s * m * (sum(p) - 1), case) for s in (1, -1)
    )
    for key in ("objective", "constraint"):
        torch.testing.assert_close(plus[key], minus[key])
    torch.testing.assert_close(plus["constraint"], torch.tensor([0.7 * 0.5, 1.2 * -0.5], dtype=torch.float64))
