"""What is raised when the input gives no answer: one line that says what was got, what is allowed, what to do."""


class InputError(ValueError):
    """Bad input from a user. Command lines print its message as one line and exit with 2."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))  # whatever a file held, it stays one line
