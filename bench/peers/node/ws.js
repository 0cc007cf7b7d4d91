// A bare server with npm's ws. Who connects to /ws hears what is sent to /pub. With topics: "+name" subscribes, ">name\n…" publishes.
"use strict";
const { WebSocketServer } = require("ws");

const everybody = new Set();
const topics = new Map();

function subscribe(socket, name) {
  if (!topics.has(name)) topics.set(name, new Set());
  topics.get(name).add(socket);
  socket.on("close", () => topics.get(name).delete(socket));
  socket.send("+");
}

function publish(data) {
  let readers = everybody;
  if (data[0] === 0x3e) {
    const end = data.indexOf(10);
    readers = topics.get(data.toString("utf8", 1, end)) ?? [];
    data = data.subarray(end + 1);
  }
  for (const socket of readers) socket.send(data, { binary: false });
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096 });
server.on("listening", () => console.log(JSON.stringify({ port: server.address().port })));
server.on("connection", (socket, request) => {
  if (request.url === "/pub") {
    socket.on("message", publish);
    return;
  }
  if (request.url === "/topics") {
    socket.setMaxListeners(0);
    socket.on("message", (data) => subscribe(socket, data.toString("utf8", 1)));
    return;
  }
  everybody.add(socket);
  socket.on("close", () => everybody.delete(socket));
});
