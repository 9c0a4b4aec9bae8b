"""Bad input at scale: coverage-guided fuzzing of every parser, and a million mutated messages through a running worker.

python -m tests.fuzz --messages 1000000 --seed 1 --parser-seconds 20

`targets` are plain functions, one for each parser of outside input; pytest runs them on their corpus, `guided` under atheris.
`mutations` makes message number n from the seed, `producing` sends them, `accounting` holds what comes out to what went in, and
`running` puts real Kafka, a model that answers at once and the worker together. Everything lands in build/fuzz/report.json.
"""
