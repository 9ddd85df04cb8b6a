"""Handing a job to a runner and keeping watch over it: one file a runner."""

import logging


def _is_of_use(record: logging.LogRecord) -> bool:
    """Beam warns at every import that a client of Google's is missing, which nobody asked for."""
    return not record.getMessage().startswith("apitools not found")


logging.getLogger().addFilter(_is_of_use)
