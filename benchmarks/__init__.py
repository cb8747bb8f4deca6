"""
How fast Rush is, beside others and as it grows.

    python -m benchmarks             a sitting: W1 to W5, Rush alone or with its peers
    python -m benchmarks.growth      how speed changes with size and time

README.md beside this tells what is measured and by which rules.
"""
