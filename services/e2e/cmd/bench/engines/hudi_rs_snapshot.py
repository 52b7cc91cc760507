"""Reads a table's snapshot, whole, once for each line of standard input. Answers with JSON lines."""
import importlib.metadata
import json
import sys
import time

from hudi import HudiTableBuilder


def main(path):
    print(json.dumps({"version": importlib.metadata.version("hudi")}), flush=True)
    for _ in sys.stdin:
        began = time.process_time_ns()
        rows = sum(batch.num_rows for batch in HudiTableBuilder.from_base_uri(path).build().read())
        print(json.dumps({"cpu_ns": time.process_time_ns() - began, "rows": rows}), flush=True)


main(*sys.argv[1:])
