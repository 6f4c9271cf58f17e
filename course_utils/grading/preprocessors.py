"""What this course adds to nbgrader's own steps; named in nbgrader_config.py."""

import re

from nbgrader.preprocessors import ClearSolutions, NbGraderPreprocessor

# A solution region that holds the code with the bug, as comments, and then the mended code.
_FOUND = re.compile(
    r"^(?P<indent>[ ]*)### BEGIN SOLUTION\n"
    r"(?P=indent)### AS FOUND\n"
    r"(?P<code>(?:(?P=indent)#(?: .*)?\n)+)"
    r"(?P=indent)### MENDED\n"
    r"(?:.*\n)*?"
    r"(?P=indent)### END SOLUTION$",
    re.MULTILINE,
)


class ClearRecall(NbGraderPreprocessor):
    """On release: take the answers out of recall cells."""

    def preprocess_cell(self, cell, resources, index):
        if "recall" in cell.metadata.get("tags", []):
            cell.source = re.sub(r'(recall\("[^"]+"), "[a-z]"\)', r'\1, "?")', cell.source)
        return cell, resources


class ClearSolutionsButShowBugs(ClearSolutions):
    """On release: as nbgrader's own step, but a find-the-bug cell comes with the code that has the bug.

    The solved cell holds both, so that a reader sees what was changed:

        def share(votes):
            ### BEGIN SOLUTION
            ### AS FOUND
            # return votes.count("up")
            ### MENDED
            return votes.count("up") / len(votes)
            ### END SOLUTION

    In the release the lines under AS FOUND, uncommented, stand in the place of the whole region. A
    region without that mark is cleared as always. "#" alone is an empty line; a comment in the code
    with the bug is "# # ...".
    """

    def preprocess_cell(self, cell, resources, index):
        if "### AS FOUND" not in cell.source:
            return super().preprocess_cell(cell, resources, index)
        region = _FOUND.search(cell.source)
        is_solution = cell.metadata.get("nbgrader", {}).get("solution", False)
        if region is None or not is_solution or cell.source.count("BEGIN SOLUTION") != 1:
            raise RuntimeError(
                "AS FOUND needs one solution region, in a solution cell, with lines of comment and then MENDED:\n"
                + cell.source
            )
        indent = region["indent"]
        shown = [
            (indent + line[len(indent) + 2 :]).rstrip() for line in region["code"].rstrip("\n").split("\n")
        ]
        cell.source = cell.source[: region.start()] + "\n".join(shown) + cell.source[region.end() :]
        return cell, resources


class DropTags(NbGraderPreprocessor):
    """On grading: drop the tags of graded cells, since a tag can make the kernel skip a cell, and a test
    cell without output counts as a full mark."""

    def preprocess_cell(self, cell, resources, index):
        if "nbgrader" in cell.metadata:
            cell.metadata.pop("tags", None)
        return cell, resources
