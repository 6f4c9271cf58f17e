"""One training by command, so that a scheduler or `accelerate launch` can start it.

    python -m course_utils.training kto --model FOLDER --train votes.jsonl --output runs/1 --steps 100
    accelerate launch --multi_gpu --num_processes 2 -m course_utils.training kto ...

`--multi_gpu` is right without a GPU too: the processes then talk over gloo. With `--cpu`, accelerate (1.15)
starts one process whatever `--num_processes` says, unless it is given MPI.
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from course_utils.feedback.loaders import read_lines
from course_utils.training.dpo import train_dpo_lora
from course_utils.training.kto import train_kto_lora
from course_utils.training.lora import Recipe

# Fields of the recipe that have a default of their own here.
COMMON = {"beta": 0.1, "lr": 1e-4, "steps": 100, "batch_size": 16}


def main(arguments=None):
    """Run one training; returns its `Training`."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("method", choices=["kto", "dpo"])
    parser.add_argument("--model", required=True, help="folder, or name on the hub")
    parser.add_argument("--train", required=True, help=".jsonl or .parquet with the method's columns")
    parser.add_argument("--validation", help="the same, held out")
    parser.add_argument("--output", required=True, help="folder for checkpoints and the adapter")
    parser.add_argument("--weights", type=float, nargs=2, default=(1.0, 1.0), help="KTO: lambda_D lambda_U")
    parser.add_argument("--checkpoint-every", type=int, default=50)
    parser.add_argument(
        "--resume", action="store_true", help="go on at the newest checkpoint, if there is one"
    )
    for field in dataclasses.fields(Recipe):
        default = COMMON.get(field.name, field.default)
        if field.name == "modules":
            parser.add_argument("--modules", nargs="+", help="default: all linear layers but the head")
        else:
            option = "--" + field.name.replace("_", "-")
            parser.add_argument(option, type=type(default), default=default, help=f"default {default}")
    asked = parser.parse_args(arguments)

    recipe = {field.name: getattr(asked, field.name) for field in dataclasses.fields(Recipe)}
    recipe["modules"] = tuple(asked.modules) if asked.modules else "all-linear"
    train = train_kto_lora if asked.method == "kto" else train_dpo_lora
    own = {"weights": tuple(asked.weights)} if asked.method == "kto" else {}
    result = train(
        asked.model,
        read(asked.train),
        read(asked.validation) if asked.validation else None,
        asked.output,
        checkpoint_every=asked.checkpoint_every,
        resume=asked.resume,
        progress=lambda step, loss: print(f"{step}/{asked.steps} loss {loss:.4f}", flush=True),
        **own,
        **recipe,
    )
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"{result.adapter} after {result.seconds:.0f} s")
    return result


def read(path):
    """A JSON Lines or Parquet file as a `datasets.Dataset`.

    Raises:
        ValueError: naming the file: its name has another ending, a row is no record, a column mixes types.
    """
    import pandas as pd
    from datasets import Dataset

    kind = Path(path).suffix
    if kind not in (".jsonl", ".parquet"):
        raise ValueError(f"{path}: a .jsonl or .parquet file is wanted")
    # not by pandas, which guesses: an answer such as "42" stays a text
    records = [record for _, record in read_lines(path)] if kind == ".jsonl" else None
    try:
        if kind == ".parquet":
            return Dataset.from_pandas(pd.read_parquet(path), preserve_index=False)
        return Dataset.from_list(records)
    except (ValueError, TypeError) as error:  # pyarrow's own, which name neither row nor column
        raise ValueError(f"{path}{_mixed(records or [])}: {error}") from None


def _mixed(records):
    """The words ", row N, column C" for the first value of another type than those above it; "" where there is none."""
    kinds = {}
    for row, record in enumerate(records, 1):
        for column, value in record.items():
            if value is not None and kinds.setdefault(column, type(value)) is not type(value):
                return f", row {row}, column {column!r}"
    return ""


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:  # a wrong setting, a file or a model that is not there
        sys.exit(f"training: {error}")
