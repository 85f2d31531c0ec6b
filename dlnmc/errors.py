"""What can go wrong, as the user is told it: one line that quotes the value and says what is allowed."""


class InvalidValue(ValueError):
    """An argument, a configuration value or a file that cannot be used. The command line ends with code 2."""


class RunFailed(RuntimeError):
    """A run that started and could not be finished. The command line ends with code 1."""


class PathsFailed(RunFailed):
    """A run of which too many paths became non-finite."""


class Interrupted(KeyboardInterrupt):
    """A run that was stopped by the user; the message says what was kept. The command line ends with code 130."""
