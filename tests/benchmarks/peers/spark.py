"""PySpark Structured Streaming with `predict_batch_udf`, in micro-batches as quick as they come; at least once.

The Python workers load the model once each; Spark's Kafka sink has no transactions, so a micro-batch that is done again after a
fault comes twice. PEER_JARS names the jars of its Kafka connector.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from engine import BATCH, BOOTSTRAP, GROUP, INPUT, LABELS, OUTPUT, Engine  # type: ignore[import-not-found]
from pyspark.ml.functions import predict_batch_udf  # type: ignore[import-not-found]
from pyspark.sql import SparkSession  # type: ignore[import-not-found]
from pyspark.sql import functions as F  # type: ignore[import-not-found]  # noqa: N812 - as everybody calls it
from pyspark.sql.types import ArrayType, FloatType  # type: ignore[import-not-found]

_PER_TRIGGER = 4 * BATCH
"""Messages in a micro-batch at most. What is visible first is in no pace, so that it must be little of a turn."""


def make_predict_fn() -> Callable[[Any], Any]:
    """Return what scores a batch of texts, shape (texts, labels); called once in each Python worker."""
    engine = Engine()

    def predict(texts: Any) -> Any:
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = engine.score([{"id": "", "text": texts[place]} for place in order])
        shares = np.empty((len(texts), len(LABELS)), np.float32)
        shares[order] = [[one["probabilities"][label] for label in LABELS] for one in found]
        return shares

    return predict


def main() -> None:
    """Build the query; until it is ended."""
    cores = os.cpu_count() or 1
    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .appName(GROUP)
        .config("spark.jars", os.environ["PEER_JARS"])
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", cores)
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", 8 * BATCH)
        .getOrCreate()
    )
    score = predict_batch_udf(make_predict_fn, return_type=ArrayType(FloatType()), batch_size=BATCH)
    read = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", BOOTSTRAP)
        .option("subscribe", INPUT)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", _PER_TRIGGER)
        .load()
    )
    message = F.from_json(F.col("value").cast("string"), "id STRING, text STRING")
    scored = read.select(message.alias("m")).select("m.id", "m.text").withColumn("shares", score("text"))
    probabilities = F.create_map(*(part for n, label in enumerate(LABELS) for part in (F.lit(label), F.col("shares")[n])))
    label = F.array(*map(F.lit, LABELS))[F.array_position("shares", F.array_max("shares")).cast("int") - 1]
    value = F.to_json(F.struct("id", label.alias("label"), probabilities.alias("probabilities")))
    query = (
        scored.select(F.col("id").alias("key"), value.alias("value"))
        .writeStream.format("kafka")
        .option("kafka.bootstrap.servers", BOOTSTRAP)
        .option("topic", OUTPUT)
        .option("checkpointLocation", str(Path(f"checkpoint-{GROUP}").resolve()))
        .start()
    )
    query.awaitTermination()


if __name__ == "__main__":
    main()
