"""Log lines hold what happened and nothing that a client sent."""

import json
import logging
import sys

from primase_gateway.log import JsonFormatter


def test_a_line_is_one_object() -> None:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "request", "fields": {"status": 200}}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "n", "event": "request", "status": 200}


def test_an_exception_is_told_without_its_text() -> None:
    try:
        int("MKTAYIAKQR")
    except ValueError:
        record = logging.makeLogRecord({"msg": "fault", "exc_info": sys.exc_info()})
    text = JsonFormatter().format(record)
    assert "MKTAYIAKQR" not in text
    line = json.loads(text)
    assert line["exception"] == "ValueError"
    assert line["frames"][0].startswith("test_an_exception_is_told_without_its_text:")
