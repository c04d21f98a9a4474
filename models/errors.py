"""What is raised when no model can be built from the request."""


class ArchitectureError(ValueError):
    """One line: what was got, what is allowed, what to do. Command lines exit with 2."""
