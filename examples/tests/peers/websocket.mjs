// A client on Node's own WebSocket: node [--experimental-websocket] websocket.mjs URL
// Checks what websocket.py does, as far as a browser's API can: it has no pings.
import assert from "node:assert";

const url = process.argv[2];
const BIG = 10 * 1024 * 1024;

function open() {
    return new Promise((opened, failed) => {
        const socket = new WebSocket(url);
        socket.binaryType = "arraybuffer";
        socket.onopen = () => opened(socket);
        socket.onerror = event => failed(new Error(event.message ?? "no connection"));
    });
}

function next(socket) {
    return new Promise((came, failed) => {
        socket.onmessage = event => came(event.data);
        socket.onclose = event => failed(event);
    });
}

async function ask(socket, message) {
    const answer = next(socket);
    socket.send(message);
    return await answer;
}

const socket = await open();
assert.equal(await ask(socket, "text \u00e9 \u{1f600}"), "text \u00e9 \u{1f600}");
const bytes = Uint8Array.from({ length: 600 }, (_, at) => at);
assert.deepEqual(new Uint8Array(await ask(socket, bytes)), bytes);
const big = Buffer.alloc(BIG, "0123456789abcdef");
assert.ok(big.equals(Buffer.from(await ask(socket, big))));
assert.equal(await ask(socket, "ping me"), "pong");
const closed = new Promise(done => socket.onclose = done);
socket.close(1000);
assert.equal((await closed).code, 1000);

const other = await open();
const ended = new Promise(done => other.onclose = done);
other.send("close me");
const { code, reason } = await ended;
assert.deepEqual([code, reason], [4000, "as you wish"]);
console.log("node: text, binary, 10 MB, ping, close");
process.exit(0);
