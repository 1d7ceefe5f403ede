"""A client has to read what it asked for: at least so much of it in a while, or all there is."""

import asyncio
import logging
import socket
import struct

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 20
"""To be read in each window, where so much waits."""

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class PacedTransport:
    """A transport as the protocol sees it: cut off where its client reads too little.

    window_s: time to read READ_BYTES of what waits, or all of it.
    """

    def __init__(self, transport: asyncio.Transport, window_s: float) -> None:
        self._transport = transport
        self._window_s = window_s
        self._num_written = 0
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        self._num_written += len(data)
        self._transport.write(data)
        if self._timer is None:
            self._begin_window()

    def stop_timing(self) -> None:
        """The connection is lost."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin_window(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        wanted = min(waiting, READ_BYTES)
        loop = asyncio.get_running_loop()
        sent = self._num_written - waiting
        self._timer = loop.call_later(self._window_s, self._end_window, sent + wanted)

    def _end_window(self, wanted: int) -> None:
        self._timer = None
        waiting = self._transport.get_write_buffer_size()
        if waiting == 0:
            return
        if self._num_written - waiting < wanted:
            logger.warning("reader_too_slow", extra={"fields": {"waiting_bytes": waiting}})
            self._let_go()
        else:
            self._begin_window()

    def _let_go(self) -> None:
        # without this, what the kernel has taken stays there until the client reads it
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self._transport.abort()
