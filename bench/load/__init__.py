"""HTTP load from a process of its own, for the benchmarks and (``python -m bench.load``) for people."""
