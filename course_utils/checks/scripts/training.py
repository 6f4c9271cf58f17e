"""Updates of a model: the model, its optimiser, and what became of them."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    """A very small language model, called as the real ones are.

    Each position sees the mean of the embeddings up to it. So that a forgotten attention mask shows even
    with padding on the right, it also sees the mean over all attended positions of its row.
    """

    def __init__(self, weights, dropout=False):
        super().__init__()
        self.embedding, self.head, self.bias = (nn.Parameter(tensor.clone()) for tensor in weights)
        self.dropout = HalfOff() if dropout else nn.Identity()

    def forward(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        weights = mask.to(torch.float64).unsqueeze(-1)
        embedded = F.embedding(input_ids, self.embedding) * weights
        so_far = embedded.cumsum(1) / weights.cumsum(1).clamp(min=1)
        row = embedded.sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
        return SimpleNamespace(logits=F.linear(self.dropout(so_far + row), self.head, self.bias))


class HalfOff(nn.Module):
    """Dropout without chance: in training mode every second feature is off, and the others are doubled."""

    def forward(self, x):
        if not self.training:
            return x
        return x * (2.0 * (torch.arange(x.shape[-1]) % 2 == 0)).to(x.dtype)


def _sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def _adam(parameters):
    """Adam with the state of an update made before, so that an optimiser made anew shows."""
    parameters = list(parameters)
    optimizer = torch.optim.Adam(parameters, lr=0.1, betas=(0.9, 0.9))
    for parameter in parameters:
        parameter.grad = torch.cos(torch.arange(parameter.numel(), dtype=parameter.dtype)).view_as(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def one_step(function, weights, reference_weights, batch, optimizer, dropout, leftover, again, kwargs):
    """One call of a training step on fresh models: the loss, and what became of policy, reference and batch.

    What became of models and batch shows in numbers too, for whoever does not take this process's word: in the
    logits of both models at the end. With `again` after a second step, with an optimiser that holds the
    reference's parameters as well, so that it moves the reference where there is a gradient.
    """
    policy, reference = Model(weights, dropout), Model(reference_weights, dropout)
    optimizer = {"sgd": _sgd, "adam": _adam}[optimizer](policy.parameters())
    if again:
        optimizer.add_param_group({"params": list(reference.parameters())})
    reference.train(dropout)
    if leftover:
        for parameter in policy.parameters():
            parameter.grad = torch.full_like(parameter, 3.0)
    loss = function(policy, reference, batch, optimizer, **kwargs)
    after = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    if again:
        function(policy, reference, batch, optimizer, **kwargs)
    gradients = [p.grad for p in reference.parameters() if p.grad is not None]
    with torch.no_grad():
        inputs = batch["input_ids"], batch["attention_mask"]
        logits = [model(inputs[0], attention_mask=inputs[1]).logits for model in (policy, reference)]
    return {
        "loss": loss,
        "policy": after,
        "policy trains": all(m.training for m in policy.modules()),
        "reference": dict(reference.state_dict()),
        "reference trains": any(m.training for m in reference.modules()),
        "reference gradient": any(bool(g.any()) for g in gradients),
        "batch": batch,
        "logits": logits,
    }


def updates(function, weight, states, actions, advantages, rate, kwargs):
    """Several updates of a linear policy: its weights afterwards, and the rollouts.

    Whether the policy itself came back, and the rollouts are as they were, shows in numbers too: in the weights after
    as many updates again, of what came back and on the same rollouts.
    """
    policy = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
    with torch.no_grad():
        policy.weight.copy_(weight)
    optimizer = torch.optim.SGD(policy.parameters(), lr=rate)
    result = function(policy, states, actions, advantages, optimizer, **kwargs)
    came_back = isinstance(result, torch.nn.Module)
    weights = result.weight.detach().clone() if came_back else None
    same, rollouts = result is policy, [tensor.clone() for tensor in (states, actions, advantages)]
    if came_back:
        function(result, states, actions, advantages, optimizer, **kwargs)
    return {
        "weights": weights,
        "same": same,
        "rollouts": rollouts,
        "again": result.weight.detach() if came_back else None,
    }
