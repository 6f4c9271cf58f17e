"""Functions of models: gradients that add up, layers that are exported, rounds of training."""

import torch


class _TokenLosses(torch.nn.Module):
    """A model whose token losses are (x·w)²; notes how many graphs are alive at once."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone())
        self.alive = self.most = 0

    def forward(self, batch):
        losses = (batch["x"] @ self.weight) ** 2
        if losses.requires_grad:
            self.alive += 1
            self.most = max(self.most, self.alive)
            losses.register_hook(self._done)
        return losses

    def _done(self, gradient):
        self.alive -= 1


def accumulated(function, weight, batches):
    """What a function of (model, micro-batches) returned, the gradient it filled in, the graphs alive at once."""
    model = _TokenLosses(weight)
    loss = function(model, batches)
    return {"loss": loss, "gradient": model.weight.grad, "most": model.most, "batches": batches}


class Layer(torch.nn.Module):
    """A linear layer with an adapter, as the exercise describes it."""

    def __init__(self, weight, lora_a, lora_b, alpha):
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
        self.lora_A, self.lora_B = torch.nn.Parameter(lora_a.clone()), torch.nn.Parameter(lora_b.clone())
        self.alpha = alpha


def exported(function, parts):
    """Two exports in a row, the first one after the second and after a change of the layers; None for no tensors."""
    layers = {name: Layer(*of_one) for name, of_one in parts.items()}
    first = function(layers)
    if not isinstance(first, dict) or not all(isinstance(t, torch.Tensor) for t in first.values()):
        return None
    kept = {name: tensor.detach().clone() for name, tensor in first.items()}
    graph = any(tensor.requires_grad for tensor in first.values())
    second = {name: tensor.detach().clone() for name, tensor in function(layers).items()}
    after = {
        name: [getattr(layer, part).detach().clone() for part in ("weight", "lora_A", "lora_B")]
        for name, layer in layers.items()
    }
    before = {name: tensor.detach().clone() for name, tensor in first.items()}
    with torch.no_grad():
        for layer in layers.values():  # training goes on
            for parameter in layer.parameters():
                parameter += 1.0
    return {
        "first": kept, "second": second, "first, after the second": before, "first, later": first,
        "layers": after, "graph": graph,
    }  # fmt: skip


class _Policy(torch.nn.Linear):
    """One weight, and a buffer that counts the trainings."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("trainings", torch.zeros((), dtype=torch.long))


def rounds(function, weight, step, kwargs):
    """[(what, entry)] of all that collect and train were given, and the weight of the policy that came back."""
    log = []
    policy = _Policy(1, 1, bias=False).double()
    with torch.no_grad():
        policy.weight.fill_(weight)

    def collect(policy):
        log.append(("collected from", policy.weight.item()))
        return f"votes on {policy.weight.item():g}"

    def train(policy, reference, votes):
        before, trainings = reference.weight.item(), reference.trainings.item()
        log.append(("policy", (policy.weight.requires_grad, policy.training)))
        with torch.no_grad():
            policy.weight += step
            policy.trainings += 1
        moves = reference.weight.item() != before, reference.trainings.item() != trainings
        log.append(("trained against", (before, *moves, reference is policy)))
        log.append(("trained on", votes))
        return policy

    result = function(policy, collect, train, **kwargs)
    return log, result.weight.item()
