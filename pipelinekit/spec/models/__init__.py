"""The typed specs: what each kind of file may say. pydantic stays in here."""
