// A bare Socket.IO server: "join" brings a socket into a room, "pub" sends to one.
"use strict";
const http = require("node:http");
const { Server } = require("socket.io");

const server = http.createServer();
const io = new Server(server, { transports: ["websocket"], serveClient: false });
io.on("connection", (socket) => {
  socket.on("join", (room, joined) => {
    socket.join(room);
    joined();
  });
  socket.on("pub", (room, data) => io.to(room).emit("msg", data));
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(JSON.stringify({ port: server.address().port })));
