"""Producing records whose header names are no UTF-8, which other languages' producers can and confluent-kafka's cannot."""

import ctypes
from pathlib import Path

import confluent_kafka

_POINTER, _TEXT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_TOPIC, _VALUE, _HEADERS, _END = 1, 4, 10, 0
"""`rd_kafka_vtype_t` of librdkafka's rdkafka.h."""


def _librdkafka() -> ctypes.CDLL:
    """The library that confluent-kafka itself has loaded, out of its wheel."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = library.rd_kafka_headers_new.restype = _POINTER
    library.rd_kafka_conf_set.argtypes = [_POINTER, _TEXT, _TEXT, _POINTER, _SIZE]
    library.rd_kafka_new.argtypes = [ctypes.c_int, _POINTER, _POINTER, _SIZE]
    library.rd_kafka_headers_new.argtypes = [_SIZE]
    library.rd_kafka_header_add.argtypes = [_POINTER, _TEXT, ctypes.c_ssize_t, _TEXT, ctypes.c_ssize_t]
    library.rd_kafka_flush.argtypes = [_POINTER, ctypes.c_int]
    library.rd_kafka_destroy.argtypes = [_POINTER]
    return library


def produce_with_header(bootstrap: str, topic: str, value: bytes, name: bytes) -> None:
    """Produce one record to a topic with one header of this name, and wait until it is delivered."""
    library = _librdkafka()
    config = library.rd_kafka_conf_new()
    assert library.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap.encode(), None, 0) == 0
    producer = library.rd_kafka_new(0, config, None, 0)
    headers = library.rd_kafka_headers_new(1)
    assert library.rd_kafka_header_add(headers, name, len(name), b"v", 1) == 0
    tag, number = ctypes.c_int, _SIZE
    arguments = (
        tag(_TOPIC),
        _TEXT(topic.encode()),
        tag(_VALUE),
        _TEXT(value),
        number(len(value)),
        tag(_HEADERS),
        _POINTER(headers),
    )
    assert library.rd_kafka_producev(_POINTER(producer), *arguments, tag(_END)) == 0
    assert library.rd_kafka_flush(producer, 20_000) == 0
    library.rd_kafka_destroy(producer)
