//! Just enough of RFC 6455 for a load generator: masked text out, frame boundaries in.

use anyhow::{Result, bail};

/// Writes a masked text frame; the mask is zero, so that masking costs nothing here.
pub fn write_text(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x81);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// One frame at the start of `bytes`: its opcode, where its payload starts and where it ends.
pub fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    (bytes.len() >= start + length).then_some((first & 0x0f, start, start + length))
}

/// The handshake's request.
pub fn handshake(address: std::net::SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Where the handshake's answer ends, once it is whole.
pub fn answered(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    if !bytes.starts_with(b"HTTP/1.1 101") {
        bail!("the handshake was answered with {}", String::from_utf8_lossy(&bytes[..end.min(200)]));
    }
    Ok(Some(end + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_once_it_is_whole() {
        let mut server = vec![0x81, 5];
        server.extend_from_slice(b"hell");
        assert_eq!(frame(&server), None);
        server.push(b'o');
        assert_eq!(frame(&server), Some((1, 2, 7)));
    }
}
