"""A pipeline's steps, each done once: a folder a step, written aside and renamed, with a manifest of what it was made from."""

import json
import shutil
from pathlib import Path

from course_utils.iteration.files import digest, write_json

MANIFEST = "manifest.json"


class Steps:
    """Runs steps into a folder and skips those that are done.

    A finished step has a manifest: the digests of its inputs, its settings, and the digests of what it wrote. A step
    whose manifest tells of other inputs or settings is not done again over the old one: that would leave later steps,
    and a decision, that belong to something else. It is an error, and the remedy is a new folder.

    Args:
        folder: of the pipeline.
        say: called with a line for each step.
    """

    def __init__(self, folder, say=print):
        self.folder, self._say = Path(folder), say

    def do(self, name, inputs, settings, work, go_on=False):
        """Do a step, or find it done.

        Args:
            name: of the step and its folder.
            inputs: {name: digest} of what it reads.
            settings: a dict of what JSON knows.
            work: function of the folder to write into (it exists).
            go_on: keep what an earlier call that was killed has left there, for `work` to go on from; by
                default it is removed.

        Returns:
            The step's folder.

        Raises:
            ValueError: the step was done from something else, or what it wrote was changed or removed since.
        """
        target, partial = self.folder / name, self.folder / f"{name}.partial"
        known = json.loads(json.dumps({"inputs": inputs, "settings": settings}))
        if target.is_dir():
            self._same(name, target, known)
            self._say(f"{name}: done before")
            return target
        if not go_on:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        work(partial)
        outputs = {p.name: digest(p) for p in sorted(partial.iterdir()) if p.name != MANIFEST}
        write_json(partial / MANIFEST, known | {"outputs": outputs})
        partial.rename(target)  # the step is done with this rename, and not before
        self._say(f"{name}: done")
        return target

    def _same(self, name, target, known):
        made = json.loads((target / MANIFEST).read_text())
        for part in ("inputs", "settings"):
            other = sorted(k for k in known[part] | made[part] if known[part].get(k) != made[part].get(k))
            if other:
                raise ValueError(
                    f"out: the step {name} in {self.folder} was done with other {part} ({', '.join(other)}); "
                    "give another folder, or remove this one if nothing was decided with it"
                )
        for file, was in made["outputs"].items():
            if not (target / file).exists() or digest(target / file) != was:
                raise ValueError(
                    f"out: {target / file} is not what the step {name} wrote; remove {self.folder}"
                )


def digests(folder):
    """{name: digest} of what a finished step wrote, for the manifest of the next."""
    made = json.loads((Path(folder) / MANIFEST).read_text())
    return {f"{Path(folder).name}/{name}": value for name, value in made["outputs"].items()}
