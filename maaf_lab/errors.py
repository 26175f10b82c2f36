"""The errors that a user can meet: each says what was expected, what was found and what to do."""


class LabError(Exception):
    """Base of every error that maaf_lab raises on purpose."""


class DataError(LabError):
    """A dataset's files are missing, damaged or not what their layout promises."""


class ConfigError(LabError, ValueError):
    """A setting is unknown, has a wrong type or contradicts another one."""


class TrainingError(LabError):
    """A run had to stop; its last good checkpoint is whole."""


class RunError(LabError):
    """A run's folder is missing, unfinished or not the run that was asked for."""
