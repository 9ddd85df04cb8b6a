"""Writes record batches that no client library would, by Kafka's protocol (Produce v3)."""

from __future__ import annotations

import socket
import struct

from pipelinekit.connectors.kafka.admin import KafkaAdmin

Headers = list[tuple[bytes, bytes | None]]
_CRC32C_POLYNOMIAL = 0x82F63B78


def produce_raw(brokers: str, topic: str, records: list[tuple[bytes, Headers]]) -> None:
    """Records (value, headers) to partition 0 in order; header names are any bytes."""
    KafkaAdmin(brokers).bounds(topic, [0])  # returns once the partition is led
    host, port = brokers.split(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        for value, headers in records:
            request = _request(topic.encode(), _batch(_record(value, headers)))
            connection.sendall(struct.pack(">i", len(request)) + request)
            size = struct.unpack(">i", _exactly(connection, 4))[0]
            answer = _exactly(connection, size)
            skip = 4 + 4 + 2 + len(topic) + 4 + 4  # correlation, topics, name, partitions, one
            assert struct.unpack(">h", answer[skip : skip + 2])[0] == 0


def _request(topic: bytes, batch: bytes) -> bytes:
    body = struct.pack(">hhi", -1, 1, 5_000)  # no transaction, acks of the leader, time-out
    body += struct.pack(">i", 1) + _text(topic) + struct.pack(">ii", 1, 0)
    body += struct.pack(">i", len(batch)) + batch
    return struct.pack(">hhi", 0, 3, 1) + _text(b"test") + body


def _record(value: bytes, headers: Headers) -> bytes:
    content = b"\0" + _varint(0) + _varint(0) + _varint(-1) + _sized(value)
    content += _varint(len(headers))
    for name, header in headers:
        content += _sized(name) + (_varint(-1) if header is None else _sized(header))
    return _sized(content)


def _batch(record: bytes) -> bytes:
    after_crc = struct.pack(">hiqqqhii", 0, 0, 1_000, 1_000, -1, -1, -1, 1) + record
    magic = struct.pack(">ibI", 0, 2, _crc32c(after_crc))
    return struct.pack(">qi", 0, len(magic) + len(after_crc)) + magic + after_crc


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CRC32C_POLYNOMIAL & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def _varint(value: int) -> bytes:
    zigzag = (value << 1) ^ (value >> 63)
    octets = bytearray()
    while zigzag > 0x7F:
        octets.append((zigzag & 0x7F) | 0x80)
        zigzag >>= 7
    return bytes([*octets, zigzag])


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _text(data: bytes) -> bytes:
    return struct.pack(">h", len(data)) + data


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data
