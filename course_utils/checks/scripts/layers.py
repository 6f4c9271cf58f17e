"""Functions of models: gradients that add up, layers that are exported, rounds of training."""

import torch


class _Asked(torch.autograd.Function):
    """Token losses that are asked for, and so is their gradient."""

    @staticmethod
    def forward(ctx, weight, x, losses_of, gradient_of, kept):
        number, losses = losses_of(x, kept)
        ctx.asked = gradient_of, number
        return losses

    @staticmethod
    def backward(ctx, upstream):
        gradient_of, number = ctx.asked
        return gradient_of(number, upstream), None, None, None, None


class _TokenLosses(torch.nn.Module):
    """A model whose numbers are not here: whoever has them sees how many graphs are alive at once."""

    def __init__(self, weight, losses_of, gradient_of):
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone())
        self.asked = losses_of, gradient_of

    def forward(self, batch):
        return _Asked.apply(self.weight, batch["x"], *self.asked, torch.is_grad_enabled())


def accumulated(function, weight, batches, losses_of, gradient_of):
    """What a function of (model, micro-batches) returned, the gradient it filled in, and the micro-batches.

    Args:
        weight: what stands for the model's weight, of its shape.
        losses_of: from features, and whether a graph is kept, to (a number, the token losses).
        gradient_of: from that number and the gradient of the losses to the weight's gradient.
    """
    model = _TokenLosses(weight, losses_of, gradient_of)
    loss = function(model, batches)
    return {"loss": loss, "gradient": model.weight.grad, "batches": batches}


class Layer(torch.nn.Module):
    """A linear layer with an adapter, as the exercise describes it."""

    def __init__(self, weight, lora_a, lora_b, alpha):
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
        self.lora_A, self.lora_B = torch.nn.Parameter(lora_a.clone()), torch.nn.Parameter(lora_b.clone())
        self.alpha = alpha


def exported(function, parts):
    """Exports in a row, the first one after the second and after a change of the layers; None for no tensors.

    What an export did shows in numbers too, in later ones: in the third, after the layers were changed, what it did to
    them; in the fourth, after what was exported was changed and a step was made along its gradients, what they share.
    """
    layers = {name: Layer(*of_one) for name, of_one in parts.items()}
    first = function(layers)
    if not isinstance(first, dict) or not all(isinstance(t, torch.Tensor) for t in first.values()):
        return None
    kept = _copies(first)
    graph = any(tensor.grad_fn is not None for tensor in first.values())
    second = _copies(function(layers))
    after = {
        name: [getattr(layer, part).detach().clone() for part in ("weight", "lora_A", "lora_B")]
        for name, layer in layers.items()
    }
    before = _copies(first)
    if graph:  # before the layers change: a graph that is out of date cannot be followed
        sum(tensor.sum() for tensor in first.values() if tensor.grad_fn is not None).backward()
    _train(layers)
    later, third = _copies(first), _copies(function(layers))
    for tensor in first.values():
        tensor.detach().add_(1.0)
    _train(layers, by_gradients=True)
    return {
        "first": kept, "second": second, "first, after the second": before, "first, later": later,
        "third": third, "fourth": _copies(function(layers)), "layers": after, "graph": graph,
    }  # fmt: skip


def _copies(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def _train(layers, by_gradients=False):
    """Training goes on: by 1, and by the gradients where there are any."""
    for layer in layers.values():
        for parameter in layer.parameters():
            parameter += 1.0
            if by_gradients and parameter.grad is not None:
                parameter -= parameter.grad


class _Policy(torch.nn.Linear):
    """One weight, and a buffer that counts the trainings."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("trainings", torch.zeros((), dtype=torch.long))


def rounds(function, weight, step, kwargs):
    """[(what, entry)] of all that collect and train were given, and the weight of the policy that came back.

    Training adds `step` and an eighth of the reference's weight: what the references were shows in that of the policy.
    """
    log, off = [], not torch.is_grad_enabled()
    policy = _Policy(1, 1, bias=False).double()
    with torch.no_grad():
        policy.weight.fill_(weight)

    def collect(policy):
        log.append(("collected from", policy.weight.item()))
        return f"votes on {policy.weight.item():g}"

    def train(policy, reference, votes):
        before, trainings = reference.weight.item(), reference.trainings.item()
        recorded = off or torch.is_grad_enabled()  # off already where the notebook has switched it off
        log.append(("policy", (policy.weight.requires_grad, policy.training, recorded)))
        with torch.no_grad():
            policy.weight += step + reference.weight / 8
            policy.trainings += 1
        moves = reference.weight.item() != before, reference.trainings.item() != trainings
        log.append(("trained against", (before, *moves, reference is policy)))
        log.append(("trained on", votes))
        return policy

    result = function(policy, collect, train, **kwargs)
    return log, result.weight.item()
