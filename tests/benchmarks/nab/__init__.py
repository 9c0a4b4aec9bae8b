"""The volume detector on the Numenta Anomaly Benchmark; `python -m tests.benchmarks.bench_nab` runs it.

data ──▶ detecting (worker.alert.detectors.counts and lifecycle) ──▶ scoring ──▶ study (held out, sensitivity) ──▶ bench_nab
"""
