"""A roster from a CSV file into the gradebook, under the headings of this course, of Canvas or of Moodle."""

import csv

from nbgrader.api import Gradebook

from course_utils.grading.gradebook import programs_found

# what nbgrader keeps of a student, and the headings under which platforms export it, in small letters
HEADINGS = {
    "id": ("id", "student_id", "sis login id", "username"),
    "first_name": ("first_name", "first name"),
    "last_name": ("last_name", "last name", "surname"),
    "email": ("email", "email address"),
    "lms_user_id": ("lms_user_id", "id number"),
}


def read_roster(file):
    """[{id, first_name, ...}] of a roster; what a row leaves empty is not in its dict.

    In an export from Canvas the name is one column ("Student", last name first), and the column "ID" is
    Canvas's own number.

    Raises:
        ValueError: there is no column with the student's id, or an id is there twice.
    """
    with open(file, encoding="utf-8-sig", newline="") as opened:
        rows = [{(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
                for row in csv.DictReader(opened)]  # fmt: skip
    found = set().union(*rows) if rows else set()
    canvas = "sis login id" in found
    heading = {}
    for key, names in HEADINGS.items():
        names = [n for n in names if n in found and not (canvas and key == "id" and n == "id")]
        if names:
            heading[key] = names[0]
    if canvas:
        heading["lms_user_id"] = "id"
    if "id" not in heading:
        wanted = ", ".join(HEADINGS["id"])
        raise ValueError(f"roster: {file} has no column with the student's id ({wanted})")
    students = []
    for row in rows:
        student = {key: row[name] for key, name in heading.items() if row.get(name)}
        if canvas and "last_name" not in student and "," in row.get("student", ""):
            last, first = row["student"].split(",", 1)
            student |= {"last_name": last.strip(), "first_name": first.strip()}
        if "id" in student:  # Canvas has a row for the points possible
            students.append(student)
    ids = [student["id"] for student in students]
    if twice := {id for id in ids if ids.count(id) > 1}:
        raise ValueError(f"roster: {sorted(twice)[0]} is in {file} more than once")
    return students


def enter_roster(file, url, course):
    """Enter a roster into the gradebook at `url`; nobody is removed. Returns how many students it has."""
    students = read_roster(file)
    with programs_found(), Gradebook(url, course) as book:
        for student in students:
            about = {key: value for key, value in student.items() if key != "id"}
            book.update_or_create_student(student["id"], **about)
    return len(students)
