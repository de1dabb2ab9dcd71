"""The command that changes a library's model."""
