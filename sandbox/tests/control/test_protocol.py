# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon tells the command that started it."""

from __future__ import annotations

import os

from cloudspill_sandbox.control.protocol import StartupMessage, StartupPipe, messages


def test_messages_arrive_in_order_and_the_pipe_ends_after_the_last() -> None:
    reader, writer = os.pipe()
    pipe = StartupPipe(writer)
    sent = [StartupMessage("progress", "making the VPC"), StartupMessage("failed", "port taken")]
    for message in sent:
        pipe.send(message)
    assert list(messages(reader)) == sent
    pipe.send(StartupMessage("progress", "nobody hears this, and nothing breaks"))


def test_a_reader_that_went_away_does_not_stop_the_daemon() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    pipe = StartupPipe(writer)
    pipe.send(StartupMessage("progress", "one"))
    pipe.send(StartupMessage("ready", ""))
