"""A WebSocket client on the package `websockets`: python websocket.py URL CONNECTIONS.

Checks the app of tests/upgrade: text, binary, 10 MB, pings both ways, a close from each side, and so many connections
at the same time. Exits with 0 if all of it holds.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

BIG = 10 * 1024 * 1024


async def messages(url):
    async with connect(url, max_size=2 * BIG, compression=None) as socket:
        await socket.send("text \u00e9 \U0001f600")
        assert await socket.recv() == "text \u00e9 \U0001f600"
        await socket.send(b"\x00\xff" * 300)
        assert await socket.recv() == b"\x00\xff" * 300
        await socket.send("")
        assert await socket.recv() == ""
        big = os.urandom(BIG)
        await socket.send(big)
        assert await socket.recv() == big
        # The server answers this ping.
        await asyncio.wait_for(await socket.ping(b"from the client"), 20)
        # The server sends a ping, and says so when its answer has come.
        await socket.send("ping me")
        assert await socket.recv() == "pong"
    # The block above closes from this side.
    assert socket.close_code == 1000, socket.close_code


async def closed_by_the_server(url):
    async with connect(url) as socket:
        await socket.send("close me")
        try:
            await asyncio.wait_for(socket.recv(), 20)
            raise AssertionError("not closed")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4000, "as you wish"), closed


async def many(url, count):
    limit = asyncio.Semaphore(50)

    async def start(number):
        async with limit:
            socket = await connect(url, open_timeout=60, compression=None, ping_interval=None)
        await socket.send(str(number))
        assert await asyncio.wait_for(socket.recv(), 60) == str(number)
        return socket

    sockets = await asyncio.gather(*map(start, range(count)))
    # All are open at the same time: each answers once more.
    for number, socket in enumerate(sockets):
        await socket.send(f"again {number}")
    for number, socket in enumerate(sockets):
        assert await asyncio.wait_for(socket.recv(), 60) == f"again {number}"
    await asyncio.gather(*(socket.close() for socket in sockets))


async def main():
    url, count = sys.argv[1], int(sys.argv[2])
    await messages(url)
    await closed_by_the_server(url)
    await many(url, count)
    print(f"python: {count} connections")


asyncio.run(main())
