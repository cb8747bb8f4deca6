"""How speed changes with size and time: a script for each question, each with options for size."""
