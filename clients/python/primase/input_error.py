"""What is wrong with a file that is read."""


class InputError(ValueError):
    """A file is not what it should be; the message names the line."""

    def __init__(self, line_number: int, problem: str) -> None:
        super().__init__(f"line {line_number}: {problem}")
        self.line_number = line_number
