"""What runs beside a student's function, in the sandbox too: nothing here may know a right answer.

A module's source travels as it stands, so it imports nothing of the course.
"""
