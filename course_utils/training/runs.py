"""The folder of a training: what it was begun with, its checkpoints, whether it is finished."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

# The files of an output folder.
ADAPTER, CHECKPOINTS, RECORD = "adapter", "checkpoints", "run.json"


def record(name, model, rows, recipe, own):
    """What a run must share with the run that it goes on with: settings, and digests of data and base weights."""
    data, weights = hashlib.sha256(), hashlib.sha256()
    for row in rows:
        data.update(json.dumps(row, sort_keys=True, default=str).encode())
    for parameter in model.parameters():  # the first thousand numbers of each tell two models apart
        weights.update(parameter.detach().flatten()[:1000].float().cpu().numpy().tobytes())
    return {
        "model": name,
        "recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(recipe).items()},
        "own": {k: v for k, v in own.items()},
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "rows": data.hexdigest(),
        "weights": weights.hexdigest(),
    }


def look_at(output, known, resume):
    """The history of a finished run that this one repeats, else None.

    Raises:
        FileExistsError: the folder holds a run, and this one is not to go on with it.
        ValueError: it is to go on, and the run in the folder was another.
    """
    record = output / RECORD
    if not record.is_file():
        return None
    if not resume:
        raise FileExistsError(f"output: {output} holds a training already; resume=True goes on with it")
    earlier = json.loads(record.read_text())
    if other := [key for key in known if earlier.get(key) != known[key]]:
        raise ValueError(f"output: the training in {output} was begun with other {', '.join(other)}")
    return earlier["history"] if (output / ADAPTER).is_dir() else None


def write(path, content):
    """A JSON file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)


def last_checkpoint(output):
    """The newest whole checkpoint of an output folder, or None.

    The trainer writes `trainer_state.json` last: a checkpoint without it was cut short by a kill.
    """
    found = sorted(
        (Path(output) / CHECKPOINTS).glob("checkpoint-*"),
        key=lambda p: int(p.name.split("-")[1]),
        reverse=True,
    )
    for folder in found:
        with contextlib.suppress(OSError, ValueError):
            json.loads((folder / "trainer_state.json").read_text())
            return folder
    return None
