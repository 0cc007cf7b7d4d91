// A bare server with uWebSockets (C++) as npm ships it. Who connects to /ws hears what is sent to /pub. With topics: "+name" subscribes, ">name\n…" publishes.
"use strict";
// Where the package has no binary for this Node.js it falls back to one in JavaScript, which is not what is to be measured.
const binary = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
const uWS = require(`@trufflesuite/uws-js-unofficial/binaries/${binary}`);

const text = (message) => Buffer.from(message).toString("utf8");
const patient = { compression: uWS.DISABLED, maxBackpressure: 1 << 30, idleTimeout: 120, sendPingsAutomatically: true };

const app = uWS.App();
app.ws("/ws", { ...patient, open: (socket) => socket.subscribe("all") });
app.ws("/topics", {
  ...patient,
  message: (socket, message) => {
    socket.subscribe("t" + text(message).slice(1));
    socket.send("+");
  },
});
app.ws("/pub", {
  ...patient,
  message: (_, message) => {
    const data = Buffer.from(message);
    if (data[0] !== 0x3e) {
      app.publish("all", message);
      return;
    }
    const end = data.indexOf(10);
    app.publish("t" + data.toString("utf8", 1, end), data.subarray(end + 1));
  },
});
app.listen("127.0.0.1", 0, (socket) => {
  if (!socket) throw new Error("no port");
  console.log(JSON.stringify({ port: uWS.us_socket_local_port(socket) }));
});
