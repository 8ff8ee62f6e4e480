"""The parts of `benches/run`: sections.py measures, results.py keeps, page.py makes BENCHMARKING.md."""

import sys
from pathlib import Path

# The modules of the comparison, of which some are of use here.
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "compare"))
