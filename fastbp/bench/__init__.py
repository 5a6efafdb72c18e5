"""`fastbp bench`, and the measuring that the project's own benchmarks share with it (timing, results, process)."""
