"""What this course adds to nbgrader's own steps; named in nbgrader_config.py."""

import re

from nbgrader.preprocessors import NbGraderPreprocessor


class ClearRecall(NbGraderPreprocessor):
    """On release: take the answers out of recall cells."""

    def preprocess_cell(self, cell, resources, index):
        if "recall" in cell.metadata.get("tags", []):
            cell.source = re.sub(r'(recall\("[^"]+"), "[a-z]"\)', r'\1, "?")', cell.source)
        return cell, resources


class DropTags(NbGraderPreprocessor):
    """On grading: drop the tags of graded cells, since a tag can make the kernel skip a cell, and a test
    cell without output counts as a full mark."""

    def preprocess_cell(self, cell, resources, index):
        if "nbgrader" in cell.metadata:
            cell.metadata.pop("tags", None)
        return cell, resources
