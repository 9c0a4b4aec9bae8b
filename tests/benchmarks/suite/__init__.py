"""The benchmark suite: `tidings bench`, `make bench`.

Each scenario runs in a process of its own on a stack of its own, within a limit, and writes what it found after each round
(`build/bench/<scenario>.json`), so that one that is cut short leaves what it has; `book` makes the report of all of them.
"""
