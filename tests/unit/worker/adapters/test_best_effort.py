import time

from worker.adapters.kafka import BestEffortProducer
from worker.messages import OutRecord
from worker.settings import KafkaSettings


def test_without_a_broker_nothing_is_raised_or_waited_for() -> None:
    """What does not fit is not taken; leaving takes two seconds at most."""
    producer = BestEffortProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    began_s = time.monotonic()
    taken = [producer.offer(OutRecord("sentiment.shadow", b"m", b"{}")) for _ in range(10_050)]
    offered_s = time.monotonic() - began_s
    assert (all(taken[:10_000]), any(taken[10_010:])) == (True, False)
    assert not producer.offer(OutRecord("sentiment.shadow", b"m", b"x" * 2_000_000))
    producer.close()
    assert offered_s < 5
