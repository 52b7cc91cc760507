"""Answers queries on Hudi tables with hudi-rs: the same queries and answers as spark_engine.py, without "where" and without writes."""
import json
import sys

import hudi
from hudi import HudiTableBuilder

import canonical


def columns(batch):
    """Columns of an Arrow batch as Python values; maps come as lists of pairs and become dicts."""
    for field, column in zip(batch.schema, batch.columns):
        values = column.to_pylist()
        if str(field.type).startswith("map<"):
            values = [None if v is None else dict(v) for v in values]
        yield values


def answer(query):
    options = hudi.HudiReadOptions()
    if query.get("as_of"):
        options = options.with_as_of_timestamp(query["as_of"])
    if query["type"] == "incremental":
        options = options.with_query_type(hudi.HudiQueryType.Incremental).with_start_timestamp(query["begin"])
    builder = HudiTableBuilder.from_base_uri(query["path"])
    if query.get("storage"):
        builder = builder.with_options(query["storage"])
    rows = 0
    with open(query["out"], "w") as out:
        for batch in builder.build().read(options):
            names = batch.schema.names
            for row in zip(*columns(batch)):
                out.write(canonical.line(names, row) + "\n")
                rows += 1
    return {"id": query["id"], "rows": rows}


def main():
    for line in sys.stdin:
        query = json.loads(line)
        try:
            result = answer(query)
        except BaseException as err:  # a Rust panic is no Exception; the next query may still be answered
            result = {"id": query["id"], "error": "%s: %s" % (type(err).__name__, str(err)[:2000])}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
