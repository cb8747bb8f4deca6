"""The job classes of this project."""
