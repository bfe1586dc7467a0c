//! Compiles `proto/` with protox: no protoc needed.

use std::error::Error;

const FILES: [&str; 2] = ["tidings/world/v1/world.proto", "tidings/services/v1/services.proto"];

/// Messages that hold a password, a token or a secret: `src/proto.rs` gives them a `Debug` that hides it.
const SECRET: [&str; 9] = [
    "RegisterRequest",
    "SignInRequest",
    "RefreshRequest",
    "VerifyRequest",
    "Tokens",
    "Ticket",
    "RedeemTicketRequest",
    "ResumeSessionRequest",
    "OpenSession",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(FILES.map(|file| format!("{root}/{file}")), [root])?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .skip_debug(SECRET.map(|name| format!(".tidings.services.v1.{name}")))
        .compile_fds(descriptors)?;
    Ok(())
}
