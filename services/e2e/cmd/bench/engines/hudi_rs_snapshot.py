"""Reads a table's snapshot, whole, once for each line of standard input. Answers with JSON lines, each with the sum of a column."""
import importlib.metadata
import json
import sys
import time

import pyarrow
import pyarrow.compute
from hudi import HudiTableBuilder


def main(path):
    print(json.dumps({"version": importlib.metadata.version("hudi")}), flush=True)
    for _ in sys.stdin:
        began = time.process_time_ns()
        batches = HudiTableBuilder.from_base_uri(path).build().read()
        rows = sum(batch.num_rows for batch in batches)
        spent = time.process_time_ns() - began
        total = sum(pyarrow.compute.sum(pyarrow.record_batch(batch).column("position_ms")).as_py() or 0 for batch in batches)
        print(json.dumps({"cpu_ns": spent, "rows": rows, "sum": total}), flush=True)


main(*sys.argv[1:])
