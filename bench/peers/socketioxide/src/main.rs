//! A peer: room fan-out with socketioxide. `join` joins a room, `say` goes to everyone in it.
//!
//! One thread, as it has one core.

use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};

async fn joined(socket: SocketRef) {
    socket.on("join", async |socket: SocketRef, Data::<String>(room)| {
        socket.join(room);
        let _ = socket.emit("joined", &());
    });
    socket.on("say", async |socket: SocketRef, Data::<String>(line)| {
        if let Some(room) = socket.rooms().into_iter().next() {
            let _ = socket.within(room).emit("line", &line).await;
        }
    });
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A queue deep enough for the load: its default of 128 would drop lines.
    let (layer, io) = SocketIo::builder().max_buffer_size(16 * 1024).build_layer();
    io.ns("/", joined);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("socketioxide listens on http://{}", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}
