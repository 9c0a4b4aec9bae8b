"""The local stack: Kafka, Redis and Triton on one machine, without Docker and with nothing left behind.

    tidings up ──▶ supervise ──▶ stack ──▶ kafka   ──▶ process ──▶ guard ──▶ java
                       │                   redis   ──▶ process ──▶ guard ──▶ redis-server
                       ▼                   triton  ──▶ process ──▶ guard ──▶ tritonserver ──▶ stubs
                  .tidings/stack.json
                  .tidings/stack.env  ◀── tidings work, status, down

`stack.LocalStack` is the Python interface, for the demo, the tests and the fault harness. `kafka`, `redis` and
`triton` each know how to fetch and run one server; `external` and `stand_ins` take its place where the user has one
or the machine cannot run it. `guard` sees that no process outlives the one that asked for it.
"""
