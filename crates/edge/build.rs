//! The page is embedded file by file: a file that is new has to rebuild the crate too.

fn main() {
    println!("cargo:rerun-if-changed=../../web");
}
