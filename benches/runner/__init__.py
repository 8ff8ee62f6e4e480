"""The parts of `benches/run`: sections measure, results keeps, page writes BENCHMARKING.md."""
