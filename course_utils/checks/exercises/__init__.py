"""The exercises' checks, one module an assignment. Each holds answers: nothing a student's code may call."""
