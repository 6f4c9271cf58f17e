"""What runs inside the sandbox, beside the student's code: nothing here is secret, and nothing here is trusted."""
