"""Copies the rows of a Parquet file, loaded into memory, to another one: once for each line of standard input. Answers with JSON lines."""
import json
import os
import sys
import time

import duckdb


def main(source, target):
    db = duckdb.connect()
    db.execute("SET threads=1")
    db.execute("SET enable_progress_bar=false")
    db.execute("CREATE TABLE t AS SELECT * FROM read_parquet(?)", [source])
    rows = db.execute("SELECT count(*) FROM t").fetchone()[0]
    print(json.dumps({"version": duckdb.__version__, "rows": rows}), flush=True)
    for _ in sys.stdin:
        began = time.process_time_ns()
        db.execute("COPY t TO '%s' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION V2)" % target)
        cpu = time.process_time_ns() - began
        written = db.execute("SELECT sum(num_rows) FROM (SELECT num_rows FROM parquet_file_metadata(?))", [target]).fetchone()[0]
        print(json.dumps({"cpu_ns": cpu, "rows": int(written), "bytes": os.path.getsize(target)}), flush=True)


main(*sys.argv[1:])
