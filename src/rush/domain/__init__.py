"""
What Rush is about, in values: names, states, definitions and the graphs in them.

Nothing here reads a clock, does I/O or knows SQL. What is wrong with a value is said
as a phrase that follows its place: `jobs[1].timeout_minutes: must be more than 0, not -1`.
"""
