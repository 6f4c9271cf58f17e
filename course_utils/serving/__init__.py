"""The chat service and its rules: routing, roll-out, monitoring."""
