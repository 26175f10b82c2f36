"""The errors that a user can meet: each says what was expected, what was found and what to do."""

LONGEST = 4000  # letters of a message


class LabError(Exception):
    """Base of every error that maaf_lab raises on purpose."""

    def __str__(self) -> str:
        """The message; cut in the middle where a text of the user's or of a file makes it longer than some screens."""
        text = super().__str__()
        return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message says what to do, and where in the lab it was raised helps nobody."""
        return [f"{type(self).__name__}: {self}"]


class DataError(LabError):
    """A dataset's files are missing, damaged or not what their layout promises."""


class ConfigError(LabError, ValueError):
    """A setting is unknown, has a wrong type or contradicts another one."""


class TrainingError(LabError):
    """A run had to stop; its last good checkpoint is whole."""


class SaveError(LabError):
    """A file could not be saved; the one before it is whole."""


class RunError(LabError):
    """A run's folder is missing, unfinished or not the run that was asked for."""
