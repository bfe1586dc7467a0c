// A peer: room fan-out with socket.io. `join` joins a room, `say` goes to everyone in it. WebSockets alone, no compression.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

io.on("connection", (socket) => {
  let room = "";
  socket.on("join", (name) => {
    room = name;
    socket.join(room);
    socket.emit("joined");
  });
  socket.on("say", (line) => io.to(room).emit("line", line));
});

http.listen(0, "127.0.0.1", () => console.log(`socket.io listens on http://127.0.0.1:${http.address().port}`));
