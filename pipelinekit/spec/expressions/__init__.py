"""The expression language: SQL scalar syntax, typed against a source's fields."""
