"""04-kto-pipeline: find the bug. Eight pieces of a pipeline that look right and are wrong."""

from course_utils.checks.exercises.pipeline_bugs_data import BUG_01, BUG_02, BUG_04, BUG_05
from course_utils.checks.exercises.pipeline_bugs_rounds import BUG_07, BUG_08
from course_utils.checks.exercises.pipeline_bugs_serving import BUG_03, BUG_06

BUGS = (BUG_01, BUG_02, BUG_03, BUG_04, BUG_05, BUG_06, BUG_07, BUG_08)
