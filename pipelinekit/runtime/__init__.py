"""What carries the engine: each runner in its own folder."""
