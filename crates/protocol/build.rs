//! Compiles `proto/` with protox: no protoc needed.

use std::error::Error;

const FILES: [&str; 2] = ["tidings/world/v1/world.proto", "tidings/services/v1/services.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(FILES.map(|file| format!("{root}/{file}")), [root])?;
    prost_build::Config::new().bytes(["."]).btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
