"""`python -m course_utils exchange DIR`: nbgrader's exchange for a class on one machine or one shared file system."""

from pathlib import Path

from course_utils.commands.paths import ROOT

SETTINGS = '''"""The course's settings for nbgrader, for students; made by `python -m course_utils exchange`."""

c = get_config()  # noqa: F821 - defined by traitlets when it loads this file

c.CourseDirectory.course_id = {course!r}
c.Exchange.root = {root!r}
'''


def add_arguments(parser):
    """The command's options."""
    parser.add_argument("folder", metavar="DIR", help="a folder that all can reach; made where it is missing")
    parser.add_argument("--roster", metavar="FILE.csv", help="students to enter into the gradebook")
    parser.add_argument(
        "--gradebook",
        metavar="URL_OR_FILE",
        default="gradebook.db",
        help="for the roster (default: %(default)s)",
    )


def run_exchange(asked, course=ROOT):
    """Set the exchange up; may be called again. Returns 0, or 1 where `exchange` is in the way.

    Args:
        asked: the command's options.
        course: the instructor's course folder, in which `exchange` (nbgrader_config.py names it) becomes a link.
    """
    from course_utils.grading.gradebook import course_id, database_url
    from course_utils.grading.roster import enter_roster

    folder, link = Path(asked.folder).absolute(), Path(course, "exchange")
    if link.exists() and not link.is_symlink() and link.resolve() != folder:
        print(f"exchange: {link} is in the way: move it")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    # everybody may look and enter; the courses in it belong to the instructor, who alone may make one
    folder.chmod(0o755)
    settings = folder / "settings" / "nbgrader_config.py"
    settings.parent.mkdir(exist_ok=True)
    settings.parent.chmod(0o755)
    settings.write_text(SETTINGS.format(course=course_id(), root=str(folder)), encoding="utf-8")
    settings.chmod(0o644)
    if link.resolve() != folder:
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
    print(f"exchange in {folder}; {link} leads there")
    print(
        f"students set JUPYTER_CONFIG_PATH={settings.parent}, or get it with `make release EXCHANGE={folder}`"
    )
    if asked.roster:
        try:
            count = enter_roster(asked.roster, database_url(asked.gradebook), course_id())
        except (ValueError, OSError) as error:
            print(f"exchange: {error}")
            return 1
        print(f"{count} students in {asked.gradebook}")
    return 0
