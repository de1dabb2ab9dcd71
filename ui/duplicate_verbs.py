"""The command about photos that are in the library more than once."""
