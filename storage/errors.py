"""What can go wrong in storage, as a tree.

StorageError
 ├─ CatalogError     the database can't be opened, is of a newer RegConv, or is locked by somebody
 │   └─ ReadOnly     the library's folder can't be written to: it can be searched, not changed
 ├─ JobRunning       another job holds the library's lease
 ├─ LeaseLost        the job no longer holds it: another machine took it for dead
 └─ ShardError       a vector shard is missing, damaged or not of the expected shape
"""


class StorageError(Exception):
    """Base of every error that storage raises on purpose."""


class CatalogError(StorageError):
    """The catalogue can't be opened or used; the message says why and what to do."""


class JobRunning(StorageError):
    """Another job holds the library's lease; the message says which process and since when."""


class ReadOnly(CatalogError):
    """The library can be read and not changed; the message says why."""


class LeaseLost(StorageError):
    """The job that wants to write was taken for dead, and its lease may be another's by now."""


class ShardError(StorageError):
    """A vector shard is missing, damaged, or not of the shape that the catalogue states."""
