"""What `make` calls: python -m course_utils COMMAND."""
