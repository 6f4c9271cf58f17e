"""One training step on a model small enough to follow."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from course_utils.logprobs import sequence_logprob
from course_utils.losses import dpo_loss
from course_utils.methods import train_step
from course_utils.preferences import collate_preferences

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    ),
]
PAIRS = [
    {"prompt": [5, 1], "chosen": [7, 8, 2], "rejected": [9, 2]},
    {"prompt": [6], "chosen": [3, 2], "rejected": [4, 4, 4, 2]},
]


class Model(nn.Module):
    """Predicts each token from the one before it; notes how it was called."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Parameter(torch.randn(10, 10, dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)
        self.calls = []

    def forward(self, input_ids, attention_mask=None):
        self.calls.append((self.training, torch.is_grad_enabled(), attention_mask))
        return SimpleNamespace(logits=self.dropout(self.table)[input_ids])


def models(device="cpu"):
    policy, reference = Model(0).to(device), Model(1).to(device)
    policy.dropout.p = 0.0
    return policy, reference


def batch(device="cpu"):
    return {key: value.to(device) for key, value in collate_preferences(PAIRS, pad_id=0).items()}


def loss_of(policy, reference, on, beta=0.1):
    logps = [sequence_logprob(m(on["input_ids"]).logits, on["labels"]).chunk(2) for m in (policy, reference)]
    return dpo_loss(*logps[0], *logps[1], beta).mean()


@pytest.mark.parametrize("device", DEVICES)
def test_one_step_of_gradient_descent(device):
    policy, reference = models(device)
    expected, ref = copy.deepcopy(policy), copy.deepcopy(reference).eval()
    loss = loss_of(expected, ref, batch(device), beta=0.5)
    (slope,) = torch.autograd.grad(loss, [expected.table])
    seen = train_step(
        policy, reference, batch(device), torch.optim.SGD(policy.parameters(), lr=0.3), beta=0.5
    )
    assert type(seen) is float
    assert seen == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(policy.table.detach(), expected.table.detach() - 0.3 * slope)


def test_gradients_left_over_do_not_count():
    results = []
    for leftover in (False, True):
        policy, reference = models()
        if leftover:
            policy.table.grad = torch.full_like(policy.table, 7.0)
        train_step(policy, reference, batch(), torch.optim.SGD(policy.parameters(), lr=0.3))
        results.append(policy.table.detach())
    assert torch.equal(*results)


def test_the_reference_stays_as_it_was_without_gradient_and_in_eval_mode():
    policy, reference = models()
    kept = reference.table.detach().clone()
    train_step(policy, reference, batch(), torch.optim.SGD(policy.parameters(), lr=0.3))
    ((training, with_grad, mask),) = reference.calls
    assert not training and not with_grad and torch.equal(mask, batch()["attention_mask"])
    assert not reference.training
    assert reference.table.grad is None and torch.equal(reference.table, kept)


def test_the_first_loss_is_log_2_where_policy_and_reference_agree_and_steps_bring_it_down():
    policy, _ = models()
    reference = copy.deepcopy(policy)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    losses = [train_step(policy, reference, batch(), optimizer, beta=0.5) for _ in range(20)]
    assert losses[0] == pytest.approx(math.log(2))
    assert losses[-1] < 0.5 * losses[0]


def test_wrong_batches_and_beta_are_refused_by_name():
    policy, reference = models()
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.3)
    right = batch()
    for wrong in (
        {key: value for key, value in right.items() if key != "labels"},
        {key: value[:3] for key, value in right.items()},
        {key: value[:0] for key, value in right.items()},
    ):
        with pytest.raises(ValueError, match="^batch "):
            train_step(policy, reference, wrong, optimizer)
    with pytest.raises(ValueError, match="^beta "):
        train_step(policy, reference, right, optimizer, beta=0.0)
