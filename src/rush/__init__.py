"""Rush: multi-step data pipelines on nothing but PostgreSQL and Python."""

__version__ = "0.1.0"
