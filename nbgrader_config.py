"""nbgrader's settings for this course; read by its commands, by JupyterLab and by the build."""

from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearSolutions

from course_utils.grading.preprocessors import ClearRecall, ClearSolutionsButShowBugs, DropTags

c = get_config()  # noqa: F821 - defined by traitlets when it loads this file

c.CourseDirectory.course_id = "beyond-rlhf"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.db_url = "sqlite:///gradebook.db"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "*.py"]
c.Exchange.root = "exchange"

# A released recall question has no answer in it; a find-the-bug cell has its bug.
c.GenerateAssignment.preprocessors = [
    ClearRecall,
    *(
        ClearSolutionsButShowBugs if step is ClearSolutions else step
        for step in GenerateAssignment.preprocessors.default()
    ),
]
# Experiments are not needed for any grade; a tag in a submission must not skip a test.
c.Execute.skip_cells_with_tag = "experiment"
c.Execute.timeout = 60
c.Autograde.sanitize_preprocessors = [DropTags, *Autograde.sanitize_preprocessors.default()]
# What a student wrote is no page of ours: no script of theirs runs in feedback or in formgrader.
c.HTMLExporter.preprocessors = ["course_utils.grading.pages.SanitizeAllButMarkdown"]
c.HTMLExporter.filters = {"markdown2html": "course_utils.grading.pages.harmless_markdown"}
