"""Constitutional AI (Bai et al. 2022, arXiv 2212.08073) on the text world: no human label anywhere."""

from dataclasses import replace
from functools import partial

from course_utils.constitution import beliefs, prefers, principles, revise
from course_utils.methods.meter import Meter
from course_utils.methods.online import train_grpo
from course_utils.reward_models import train_reward_model
from course_utils.testbed import models, text


def train_constitutional(
    start, drafts=1000, revision_steps=100, revision_lr=1e-3, seed=0, meter=None, progress=None, **grpo
):
    """Both stages: fine-tuning on revised samples, then reinforcement learning from the judge's preferences.

    What the judge holds true is read from the start model itself. The pairs of the start are not used.

    Args:
        start: a `Start`.
        drafts: answers that are revised, for the first prompts of the start; as many pairs are judged then.
        revision_steps, revision_lr: of the fine-tuning on revised answers.
        seed: of everything random.
        meter: a `Meter`, or None.
        progress: called with (iteration, mean score) of the second stage, or None.
        grpo: settings of `train_grpo`, which is the second stage's optimiser (the paper has PPO).

    Returns:
        The trained policy.
    """
    meter = meter or Meter()
    judged = beliefs(start.model)
    asked = replace(start, prompts=start.prompts[:drafts])
    revised = revised_model(asked, judged, revision_steps, revision_lr, seed, meter)
    pairs = judged_pairs(revised, asked.prompts, judged, seed, meter)
    reward_model = train_reward_model(
        pairs, len(text.VOCABULARY), seed=seed, watch=partial(meter.watch, "reward model")
    )
    return train_grpo(
        replace(start, model=revised), reward_model.score, seed=seed, meter=meter, progress=progress, **grpo
    )


def revised_model(start, judged, steps=100, lr=1e-3, seed=0, meter=None):
    """The first stage: sample, criticise, revise, and fine-tune on the revised answers."""
    meter = meter or Meter()
    policy = meter.watch("policy", start.copy())
    drafts = meter.sample(policy, start.prompts, text.MAX_RESPONSE, seed)
    answers = [revise_ids(prompt, draft, judged) for prompt, draft in zip(start.prompts, drafts, strict=True)]
    models.train_on_examples(policy, start.prompts, answers, steps, lr=lr, seed=seed)
    return policy


def revise_ids(prompt, response, judged):
    """A response after revision by the constitution, token ids to token ids."""
    last, _ = revise(" ".join(text.words_of(response)), principles(prompt, judged))
    return [*text.encode(last), text.EOS_ID]


def judged_pairs(model, prompts, judged, seed=0, meter=None):
    """Two samples for each prompt, labelled by the judge; pairs that it cannot tell apart are left out."""
    meter = meter or Meter()
    first, second = (meter.sample(model, prompts, text.MAX_RESPONSE, 2 * seed + i) for i in (0, 1))
    pairs = []
    for prompt, a, b in zip(prompts, first, second, strict=True):
        verdict = prefers(prompt, a, b, judged)
        if verdict != 0.5:
            chosen, rejected = (a, b) if verdict else (b, a)
            pairs.append({"prompt": prompt.tolist(), "chosen": chosen, "rejected": rejected})
    return pairs
