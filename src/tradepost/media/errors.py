"""Errors of files and pictures."""

from tradepost.core.errors import Forbidden, NotFound, RuleBroken, Unprocessable, UnsupportedType


class InvalidCategory(RuleBroken):
    """There is no such category of files."""

    detail = "Invalid category"


class NoSuchFile(NotFound):
    """No file has this name, or none that this visitor may know of."""

    code = "FILE_NOT_FOUND"
    detail = "File not found"


class TooManyFiles(RuleBroken):
    """A call takes at least one file and at most five."""

    detail = "Maximum 5 files allowed"


class UnsupportedFile(UnsupportedType):
    """By its content, the file is of no type that is taken here.

    ``reason`` says what it is instead: the end of a sentence that begins with the file.
    """

    def __init__(self, reason: str = "is of a type that is not taken", *, detail: str | None = None) -> None:
        super().__init__(detail or f"The file {reason}")
        self.reason = reason

    def of(self, file: str, *, allowed: str) -> "UnsupportedFile":
        """Return the same about a file with its place and name, and with what is allowed."""
        return UnsupportedFile(self.reason, detail=f"{file} {self.reason}; allowed are {allowed}")


class QuotaExceeded(Forbidden):
    """The person's files take up the whole quota."""

    code = "QUOTA_EXCEEDED"
    detail = "Your files take up all the room you have; delete some first"


class NotAPictureFile(UnsupportedFile):
    """By its content, the file is none of the formats that pictures may have."""

    def __init__(self) -> None:
        super().__init__("is no JPEG, PNG, GIF or WebP picture")


class PictureRefused(Unprocessable):
    """The file is a picture, but a broken one, or one past the limits; the message says what is wrong."""

    def __init__(self, message: str, *, field: str = "file") -> None:
        super().__init__(("body", field), message, kind="picture")
        self.message = message

    def of(self, field: str, file: str) -> "PictureRefused":
        """Return the same about a file with its place and name, in a field of this name."""
        return PictureRefused(f"{file}: {self.message}", field=field)
