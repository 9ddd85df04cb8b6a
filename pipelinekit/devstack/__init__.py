"""The local stack: real components on the loopback, for development, tests and the demo."""
