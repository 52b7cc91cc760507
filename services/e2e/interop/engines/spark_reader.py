"""Answers queries on Hudi tables with Apache Spark: a JSON list of queries on standard input, one JSON answer a line on standard output.

Query:  {"id", "path", "type": "snapshot"|"incremental", "begin", "as_of", "where", "out": file for the rows, one canonical JSON a line}
Answer: {"id", "rows"} or {"id", "error"}

One session answers all queries: a session costs 10-20 s to start.
"""
import argparse
import glob
import json
import os
import sys

import canonical


def session(jar, log4j):
    from pyspark.sql import SparkSession

    java = "-Duser.timezone=UTC -Djol.skipHotspotSAAttach=true -Dlog4j.configurationFile=file:" + log4j
    return (
        SparkSession.builder.appName("playhead-interop").master("local[2]")
        .config("spark.jars", jar).config("spark.driver.extraClassPath", jar)
        .config("spark.driver.memory", "3g")
        .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC").config("spark.driver.extraJavaOptions", java)
        .config("spark.sql.shuffle.partitions", "2").config("spark.default.parallelism", "2")
        .config("spark.serializer", "org.apache.spark.serializer.KryoSerializer")
        .config("spark.kryo.registrator", "org.apache.spark.HoodieSparkKryoRegistrar")
        .config("spark.sql.extensions", "org.apache.spark.sql.hudi.HoodieSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.hudi.catalog.HoodieCatalog")
        .config("spark.sql.warehouse.dir", os.path.join(os.environ["TMPDIR"], "spark-warehouse"))
        .config("spark.sql.catalogImplementation", "in-memory")
        .getOrCreate()
    )


def answer(spark, query):
    options = {"hoodie.datasource.query.type": query["type"]}
    if query.get("as_of"):
        options["as.of.instant"] = query["as_of"]
    if query["type"] == "incremental":
        options["hoodie.datasource.read.begin.instanttime"] = query["begin"]
    frame = spark.read.format("hudi").options(**options).load(query["path"])
    if query.get("where"):
        frame = frame.where(query["where"])
    names = frame.columns
    rows = 0
    with open(query["out"], "w") as out:
        for row in frame.toLocalIterator():
            out.write(canonical.line(names, row) + "\n")
            rows += 1
    return {"id": query["id"], "rows": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jars", required=True, help="folder of the Hudi bundles")
    parser.add_argument("--bundle", required=True, help="Hudi version, for example 1.2.0")
    parser.add_argument("--log4j", required=True)
    args = parser.parse_args()
    jars = glob.glob(os.path.join(args.jars, "hudi-spark3.5-bundle_2.12-%s.jar" % args.bundle))
    if len(jars) != 1:
        sys.exit("no Hudi bundle %s in %s" % (args.bundle, args.jars))
    # The JVM prints warnings to standard output: answers go to a private copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    queries = json.load(sys.stdin)
    spark = session(jars[0], args.log4j)
    spark.sparkContext.setLogLevel("ERROR")
    for query in queries:
        try:
            result = answer(spark, query)
        except Exception as err:  # the next query may still be answered
            result = {"id": query["id"], "error": str(err)[:2000]}
        print(json.dumps(result), file=answers, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
