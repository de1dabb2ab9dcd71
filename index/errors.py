"""What can go wrong with a library, as a tree.

LibraryError
 ├─ NoLibrary        there is no library in that folder
 ├─ ModelMismatch    the library was made with another model, or the model's files have changed
 ├─ IndexMismatch    vectors or queries of another width than the index
 ├─ NothingIndexed   none of the folders given could be read
 └─ DamagedBackup    what a backup says that it holds can't be read
"""


class LibraryError(Exception):
    """Base of every error that the index rooms raise on purpose; the message says what to do."""


class NoLibrary(LibraryError):
    """There is no library in that folder."""


class ModelMismatch(LibraryError):
    """The library's vectors were made by another model, or by other files of the same name."""


class IndexMismatch(LibraryError):
    """Vectors of another width than the index holds."""


class NothingIndexed(LibraryError):
    """None of the folders given could be read."""


class DamagedBackup(LibraryError):
    """The backup's own list of what it holds can't be read."""
