// Send lines of text to Tidings: echo "Acme is down again" | node produce.mjs chat
// Idempotent, with all replicas' acknowledgement; a line that Kafka does not take ends in an error and exit code 1.
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { Kafka, logLevel } from "kafkajs";

const topic = process.argv[2] ?? "chat";
const brokers = (process.env.KAFKA ?? "127.0.0.1:9092").split(",");
const kafka = new Kafka({ clientId: "tidings-example", brokers, logLevel: logLevel.WARN });
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });

await producer.connect();
try {
  for await (const line of createInterface({ input: process.stdin })) {
    if (!line.trim()) continue;
    const value = JSON.stringify({ id: randomUUID(), text: line, source: "node", published_at: new Date().toISOString() });
    await producer.send({ topic, acks: -1, messages: [{ key: "node", value }] });
  }
} finally {
  await producer.disconnect();
}
