"""What runs beside a student's function, in the sandbox too: nothing here may know a right answer.

What a script says of an answer (how often, in which order, in what memory) can be forged by it at grading. Points hang on
numbers that only a right answer can come to, on functions of the grader's that a script has to ask, or on a process
of the grader's own (`beside.StandIn`); what is only said makes the message.

A module's source travels as it stands, so it imports nothing of the course. A script that makes many calls, or
starts a process, says in its attribute `seconds` what it may take at grading; the limit of one call is shorter.
"""
