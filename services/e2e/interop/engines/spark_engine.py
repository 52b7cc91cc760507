"""Reads and writes Hudi tables with Apache Spark: a JSON request a line on standard input, a JSON answer a line on standard output.

Query:  {"id", "path", "type": "snapshot"|"read_optimized"|"incremental", "begin", "as_of", "where", "options",
         "out": file for the rows, one canonical JSON a line}
Write:  {"id", "path", "operation": "upsert"|"delete"|..., "mode", "options", "schema": columns as in SQL, "in": file of rows}
Hadoop: {"id", "hadoop": settings of the file systems}
Answer: {"id", "rows"} or {"id", "error"}

One session answers all requests: a session costs 10-20 s to start.
"""
import argparse
import glob
import json
import os
import sys

import canonical


def session(jar, more, log4j):
    from pyspark.sql import SparkSession

    java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=UTC -Djol.skipHotspotSAAttach=true -Dlog4j.configurationFile=file:" + log4j
    return (
        SparkSession.builder.appName("playhead-interop").master("local[2]")
        .config("spark.jars", jar).config("spark.driver.extraClassPath", ":".join([jar, *more]))
        .config("spark.driver.memory", "2g")
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


def read(spark, query):
    options = {"hoodie.datasource.query.type": query["type"], **query.get("options", {})}
    if query.get("as_of"):
        options["as.of.instant"] = query["as_of"]
    if query["type"] == "incremental":
        options["hoodie.datasource.read.begin.instanttime"] = query["begin"]
    frame = spark.read.format("hudi").options(**options).load(query["path"])
    if query.get("where"):
        frame = frame.where(query["where"])
    rows = frame.collect()
    with open(query["out"], "w") as out:
        for row in rows:
            out.write(canonical.line(frame.columns, row) + "\n")
    return len(rows)


def write(spark, step):
    from pyspark.sql.types import _parse_datatype_string

    schema = _parse_datatype_string(step["schema"])
    with open(step["in"]) as lines:
        rows = [canonical.parse(schema, json.loads(line)) for line in lines]
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    options = {"hoodie.datasource.write.operation": step["operation"], **step["options"]}
    frame.write.format("hudi").options(**options).mode(step.get("mode", "append")).save(step["path"])
    return len(rows)


def hadoop(spark, settings):
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    for name, value in settings["hadoop"].items():
        configuration.set(name, value)
    return len(settings["hadoop"])


def causes(err):
    """The messages of an exception and its causes, without the stacks."""
    java = getattr(err, "java_exception", None) or getattr(err, "_origin", None)
    texts = []
    while java is not None and len(texts) < 12:
        texts.append(str(java.toString())[:8000])
        java = java.getCause()
    return "; caused by ".join(texts) or str(err)[:2000]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jars", required=True, help="folder of the Hudi bundles")
    parser.add_argument("--bundle", required=True, help="Hudi version, for example 1.2.0")
    parser.add_argument("--log4j", required=True)
    parser.add_argument("--file-systems", required=True, help="folder of jars of further Hadoop file systems")
    args = parser.parse_args()
    jars = glob.glob(os.path.join(args.jars, "hudi-spark3.5-bundle_2.12-%s.jar" % args.bundle))
    if len(jars) != 1:
        sys.exit("no Hudi bundle %s in %s" % (args.bundle, args.jars))
    # The JVM prints warnings to standard output: answers go to a private copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spark = session(jars[0], sorted(glob.glob(os.path.join(args.file_systems, "*.jar"))), args.log4j)
    spark.sparkContext.setLogLevel("ERROR")
    for line in sys.stdin:
        request = json.loads(line)
        run = write if "operation" in request else hadoop if "hadoop" in request else read
        try:
            result = {"id": request["id"], "rows": run(spark, request)}
        except Exception as err:  # the next request may still be answered
            result = {"id": request["id"], "error": causes(err)}
        print(json.dumps(result), file=answers, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
