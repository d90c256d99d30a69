"""Errors that are the user's to mend: their text is shown as it is, without a traceback."""


class UserError(Exception):
    """Something the user can mend; the message says what was wrong and what to do."""


class ModelFolderError(UserError):
    """A model folder that is missing, half-written, damaged or of another version."""
