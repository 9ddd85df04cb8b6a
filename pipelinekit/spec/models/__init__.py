"""The typed specs: what each kind of file may say. pydantic stays in here.

Annotations are values here, not texts (no `from __future__ import annotations`): pydantic would
compile and evaluate each text again when `validate` starts.
"""
