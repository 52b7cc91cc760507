#!/usr/bin/env bash
# Installs the real servers and engines that judge Playhead, at pinned versions, into a cache outside the repository.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: scripts/peers.sh [--print-dir] [PEER ...]

Installs PEERs (default: all but duckdb) into $PLAYHEAD_CACHE/peers (default ~/.cache/playhead/peers) once per version.
Prints nothing on success but one line per peer; says what is missing and exits 1 when it cannot.

Peers:
  kafka      Apache Kafka 4.3.1 (KRaft), from Maven          needs java 17 or newer, mvn
  apicurio   Apicurio Registry 3.3.3, from Maven             needs java 21 or newer, mvn
  versitygw  versitygw v1.8.0, an S3 server, built from source  needs go
  spark      PySpark 3.5.7 with Hudi bundles 0.15.0, 1.1.1, 1.2.0   needs java 17, mvn, python3 with venv
  s3a        S3A of Hadoop 3.3.4, by which Spark reads S3, from Maven   needs java, mvn
  hudi-rs    hudi-rs 0.5.0 (Python wheel)                    needs python3 with venv
  duckdb     DuckDB 1.4.5 (Python wheel), for bench.sh hudi  needs python3 with venv
TXT
}

cache=${PLAYHEAD_CACHE:-$HOME/.cache/playhead}
peers=$cache/peers
kafka_version=4.3.1
apicurio_version=3.3.3
versitygw_version=v1.8.0
spark_version=3.5.7
hudi_bundles=(0.15.0 1.1.1 1.2.0)
hadoop_version=3.3.4 # of PySpark 3.5.7; the AWS SDK's version is the one that it names
hudi_rs_version=0.5.0
duckdb_version=1.4.5

need() {
  local tool=$1 why=$2
  command -v "$tool" >/dev/null || { echo "peers: $tool is missing; it is needed for $why" >&2; exit 1; }
}

# done_already PEER VERSION: true when this very version was installed completely before.
done_already() { [[ -f $peers/$1/.installed && $(<"$peers/$1/.installed") == "$2" ]]; }

# finish PEER VERSION: marks the peer as complete; only then does done_already see it.
finish() { echo "$2" >"$peers/$1/.installed"; echo "peers: $1 $2 installed"; }

fresh() { rm -rf "${peers:?}/$1"; mkdir -p "$peers/$1"; }

install_kafka() {
  done_already kafka $kafka_version && return
  need java "Kafka"; need mvn "Kafka"
  fresh kafka
  cat >"$peers/kafka/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
 <groupId>peers</groupId><artifactId>kafka-peer</artifactId><version>1</version><packaging>pom</packaging>
 <dependencies>
  <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
  <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka_version</version></dependency>
  <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
  <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-1.2-api</artifactId><version>2.25.5</version></dependency>
 </dependencies></project>
XML
  mvn -B -ntp -q -f "$peers/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$peers/kafka/libs"
  # The console appender writes to standard error: StorageTool's answer on standard output must stay clean.
  cat >"$peers/kafka/log4j2.xml" <<'XML'
<Configuration status="WARN"><Appenders><Console name="C" target="SYSTEM_ERR"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="${sys:klog:-INFO}"><AppenderRef ref="C"/></Root></Loggers></Configuration>
XML
  finish kafka $kafka_version
}

install_apicurio() {
  done_already apicurio $apicurio_version && return
  need mvn "Apicurio Registry"
  fresh apicurio
  mvn -q -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact=io.apicurio:apicurio-registry-app:$apicurio_version:tar.gz:all -DoutputDirectory="$peers/apicurio/dl"
  tar xzf "$peers/apicurio/dl/apicurio-registry-app-$apicurio_version-all.tar.gz" -C "$peers/apicurio"
  rm -rf "$peers/apicurio/dl"
  finish apicurio $apicurio_version
}

install_versitygw() {
  done_already versitygw $versitygw_version && return
  need go "versitygw"
  fresh versitygw
  (cd "$peers/versitygw" && GOWORK=off GOFLAGS= CGO_ENABLED=0 GOBIN=$peers/versitygw go install -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@$versitygw_version)
  finish versitygw $versitygw_version
}

install_spark() {
  local version="$spark_version ${hudi_bundles[*]}"
  done_already spark "$version" && return
  need java "Spark"; need mvn "the Hudi bundles"; need python3 "Spark"
  # A further bundle does not throw away what is there, which a test may be using.
  if [[ ! -f $peers/spark/.installed || $(<"$peers/spark/.installed") != "$spark_version "* ]]; then
    fresh spark
    python3 -m venv "$peers/spark/venv"
    "$peers/spark/venv/bin/pip" install -q --disable-pip-version-check pyspark==$spark_version
  fi
  local b jar
  for b in "${hudi_bundles[@]}"; do
    jar=hudi-spark3.5-bundle_2.12-$b.jar
    [[ ! -f $peers/spark/jars/$jar ]] || continue
    mvn -q -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
      -Dartifact=org.apache.hudi:hudi-spark3.5-bundle_2.12:"$b" -DoutputDirectory="$peers/spark/download"
    mkdir -p "$peers/spark/jars"
    mv "$peers/spark/download/$jar" "$peers/spark/jars/$jar"
  done
  finish spark "$version"
}

install_s3a() {
  done_already s3a $hadoop_version && return
  need mvn "S3A"
  fresh s3a
  cat >"$peers/s3a/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
 <groupId>peers</groupId><artifactId>s3a-peer</artifactId><version>1</version><packaging>pom</packaging>
 <dependencies>
  <dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-aws</artifactId><version>$hadoop_version</version></dependency>
 </dependencies></project>
XML
  mvn -B -ntp -q -f "$peers/s3a/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DincludeArtifactIds=hadoop-aws,aws-java-sdk-bundle,wildfly-openssl -DoutputDirectory="$peers/s3a/jars"
  finish s3a $hadoop_version
}

install_hudi_rs() {
  done_already hudi-rs $hudi_rs_version && return
  need python3 "hudi-rs"
  fresh hudi-rs
  python3 -m venv "$peers/hudi-rs/venv"
  "$peers/hudi-rs/venv/bin/pip" install -q --disable-pip-version-check hudi==$hudi_rs_version pyarrow==22.0.0
  finish hudi-rs $hudi_rs_version
}

install_duckdb() {
  done_already duckdb $duckdb_version && return
  need python3 "DuckDB"
  fresh duckdb
  python3 -m venv "$peers/duckdb/venv"
  "$peers/duckdb/venv/bin/pip" install -q --disable-pip-version-check duckdb==$duckdb_version
  finish duckdb $duckdb_version
}

wanted=()
for arg in "$@"; do
  case $arg in
    -h | --help) usage; exit 0 ;;
    --print-dir) echo "$peers"; exit 0 ;;
    kafka | apicurio | versitygw | spark | s3a | hudi-rs | duckdb) wanted+=("$arg") ;;
    *) echo "peers: unknown peer $arg" >&2; usage >&2; exit 2 ;;
  esac
done
[[ ${#wanted[@]} -gt 0 ]] || wanted=(kafka apicurio versitygw spark s3a hudi-rs)
mkdir -p "$peers"
exec 9>"$peers/.lock"
flock 9 # two runs at once would install over each other
for peer in "${wanted[@]}"; do
  "install_${peer//-/_}"
done
