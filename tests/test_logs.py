"""Every line of the log is one JSON object, whoever wrote it."""

import json
import subprocess
import sys

SCRIPT = """
import logging
import structlog
from primase_server.logs import configure_logs
configure_logs("info")
structlog.get_logger().info("call", outcome="OK")
structlog.get_logger().debug("unseen")
logging.getLogger("engine").error("work failed: %s", "RuntimeError", extra={"request_id": "r-1"})
def run(sequence):
    raise ValueError("bad")
try:
    run("MSILVSECRET")
except ValueError:
    structlog.get_logger().exception("model_failed")
"""


def test_the_format_may_be_chosen_whoever_reads() -> None:
    script = (
        "import sys, structlog\n"
        "from primase_server.logs import configure_logs\n"
        "sys.stderr.isatty = lambda: True\n"
        "for format in ('json', 'text', 'auto'):\n"
        "    configure_logs('info', format)\n"
        "    structlog.get_logger().info('call', model='m')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    first, *others = done.stderr.splitlines()
    assert json.loads(first)["model"] == "m"
    for line in others:
        assert "call" in line
        assert not line.startswith("{")


def test_lines_of_both_libraries_are_json_and_tracebacks_hold_no_variables() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    call, work, failed = (json.loads(line) for line in done.stderr.splitlines())
    assert (call["event"], call["level"], call["outcome"]) == ("call", "info", "OK")
    assert (work["event"], work["request_id"]) == ("work failed: RuntimeError", "r-1")
    assert failed["exception"][0]["exc_value"] == "bad"
    assert all("time" in line for line in (call, work, failed))
    assert "MSILVSECRET" not in json.dumps(failed["exception"])
