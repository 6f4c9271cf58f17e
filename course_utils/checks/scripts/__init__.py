"""What runs beside a student's function, in the sandbox too: nothing here may know a right answer.

A module's source travels as it stands, so it imports nothing of the course. A script that makes many calls, or
starts a process, says in its attribute `seconds` what it may take at grading; the limit of one call is shorter.
"""
