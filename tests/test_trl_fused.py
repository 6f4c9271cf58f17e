"""The pair loss with its gradients formed in the forward pass, prompts read once, against trl's `compute_loss`."""

from functools import partial

import pytest
import torch

from course_utils.kernels import tiles
from course_utils.logprobs import completion_rows, preference_loss, reference_scores, sequence_logps
from course_utils.losses import cdpo_loss, dpo_loss, ipo_loss, rdpo_loss
from course_utils.methods.offline import kto_batch_loss
from course_utils.preferences import collate_preferences
from course_utils.trl_parity import offline, rig

pytest.importorskip("trl")
BETA = offline.BETA

# loss_type of DPOTrainer: our loss, whether it takes means over tokens, trl's further settings
VARIANTS = {
    "sigmoid": (partial(dpo_loss, beta=BETA), False, {}),
    "robust": (partial(rdpo_loss, beta=BETA, smoothing=0.2), False, {"label_smoothing": 0.2}),
    "ipo": (partial(ipo_loss, tau=BETA), True, {}),
    "hinge": (
        lambda chosen, rejected, a, b: torch.relu(1 - BETA * (chosen - rejected - a + b)),
        False,
        {},
    ),
    "apo_zero": (
        lambda chosen, rejected, a, b: (
            1 - torch.sigmoid(BETA * (chosen - a)) + torch.sigmoid(BETA * (rejected - b))
        ),
        False,
        {},
    ),
}


@pytest.mark.parametrize("loss_type", VARIANTS)
@pytest.mark.parametrize("shared_prompt", [False, True])
def test_variants_of_dpo(loss_type, shared_prompt):
    loss, average, own = VARIANTS[loss_type]
    policy, reference = rig.policy_and_reference()
    batch = collate_preferences(rig.example_pairs(), pad_id=0)
    ref = reference_scores(policy, batch, reference, average=average, shared_prompt=shared_prompt)
    rows = completion_rows(policy, batch, shared_prompt=shared_prompt)
    value = preference_loss(
        rows.hidden,
        rows.weight,
        rows.labels,
        rows.sequences,
        ref,
        loss,
        average=average,
        chunk_size=40,
    )
    ours = rig.backward(value, policy)
    found = rig.compared(ours, offline._dpo_trainer(policy, reference, loss_type, **own))
    assert found.ours == pytest.approx(found.theirs, rel=1e-5, abs=1e-5)
    assert found.gradient < 1e-4 * max(g.abs().max() for g in ours[1].values()) + 1e-6


def test_kto_row_by_row(monkeypatch):
    """`train_kto`'s loss with every score taken from hidden states, against the same from logits, which trl confirms."""
    policy, reference = rig.policy_and_reference()
    pairs = rig.example_pairs()
    votes = [(p["prompt"], p[side], side == "chosen") for p in pairs for side in ("chosen", "rejected")]
    prompts, responses, desirable = zip(*votes, strict=True)
    given = policy, reference, prompts, responses, torch.tensor(desirable), BETA, (1.0, 1.5)
    from_logits = rig.backward(kto_batch_loss(*given), policy)
    monkeypatch.setitem(tiles.BUFFER_BYTES, "cpu", 0)
    found = rig.compared(rig.backward(kto_batch_loss(*given), policy), from_logits)
    assert found.ours == pytest.approx(found.theirs, rel=1e-6)
    assert found.gradient < 1e-5


def test_conservative_dpo_is_what_it_says_pair_by_pair():
    """cDPO is not among trl's loss types: here from its sigmoid loss, once as it is and once with sides exchanged."""
    policy, reference = rig.policy_and_reference()
    pairs = rig.example_pairs()
    flipped = [p | {"chosen": p["rejected"], "rejected": p["chosen"]} for p in pairs]

    def loss_of(rows, loss):
        batch = collate_preferences(rows, pad_id=0)
        with torch.no_grad():
            ref = sequence_logps(reference, batch)
        made = completion_rows(policy, batch)
        return preference_loss(made.hidden, made.weight, made.labels, made.sequences, ref, loss)

    theirs, _ = offline._dpo_trainer(policy, reference, "sigmoid")
    ours = loss_of(pairs, partial(cdpo_loss, beta=BETA, smoothing=0.2)).item()
    other = loss_of(flipped, partial(dpo_loss, beta=BETA)).item()
    assert ours == pytest.approx(0.8 * theirs + 0.2 * other, rel=1e-5)
