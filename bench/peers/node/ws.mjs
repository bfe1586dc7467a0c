// A peer: room fan-out with the package ws. `J<room> <number>` joins, any other line goes to everyone in the room.
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });

server.on("connection", (socket) => {
  let room;
  socket.on("message", (data) => {
    const text = data.toString();
    if (text.startsWith("J")) {
      const name = text.slice(1).split(" ")[0];
      room = rooms.get(name) ?? new Set();
      rooms.set(name, room.add(socket));
      socket.send("joined");
      return;
    }
    for (const member of room ?? []) {
      member.send(text);
    }
  });
  socket.on("close", () => room?.delete(socket));
});

server.on("listening", () => console.log(`ws listens on http://127.0.0.1:${server.address().port}`));
