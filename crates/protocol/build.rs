//! Compiles `proto/` with protox: no protoc needed. Beside prost's types it writes the tables of `src/form.rs`.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const FILES: [&str; 2] = ["tidings/world/v1/world.proto", "tidings/services/v1/services.proto"];

/// Messages that hold a password, a token or a secret: `src/proto.rs` gives them a `Debug` that hides it.
const SECRET: [&str; 10] = [
    "RegisterRequest",
    "SignInRequest",
    "RefreshRequest",
    "VerifyRequest",
    "Tokens",
    "Ticket",
    "PresentedTicket",
    "ResumeSessionRequest",
    "OpenSession",
    "StaffToken",
];

/// Highest number of a field: a table has a place for each number below its highest.
const FIELD_MAX: i32 = 63;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(FILES.map(|file| format!("{root}/{file}")), [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("forms.rs"), forms(&descriptors))?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .skip_debug(SECRET.map(|name| format!(".tidings.services.v1.{name}")))
        .compile_fds(descriptors)?;
    Ok(())
}

/// A table for each message, and the way to it by name.
fn forms(files: &FileDescriptorSet) -> String {
    let mut tables = String::new();
    let mut names = String::new();
    for file in &files.file {
        for message in &file.message_type {
            form(&format!(".{}", file.package()), message, &mut tables, &mut names);
        }
    }
    format!(
        "{tables}/// The form of a message by its full name, as `tidings.world.v1.Event`.\n\
         pub fn form(name: &str) -> Option<&'static Form> {{\n    match name {{\n{names}        _ => None,\n    }}\n}}\n"
    )
}

fn form(within: &str, message: &DescriptorProto, tables: &mut String, names: &mut String) {
    let name = format!("{within}.{}", message.name());
    let kinds: HashMap<_, _> =
        message.field.iter().map(|field| (field.number(), kind(message, field))).collect();
    let last = kinds.keys().copied().max().unwrap_or(0);
    assert!(last <= FIELD_MAX, "{name}: a field of number {last} needs another table");
    let unknown = "Kind::Unknown".to_owned();
    let fields: Vec<_> = (0..=last).map(|number| kinds.get(&number).unwrap_or(&unknown).as_str()).collect();
    let (table, fields) = (table(&name), fields.join(", "));
    let _ = writeln!(tables, "static {table}: Form = Form {{ fields: &[{fields}] }};");
    let _ = writeln!(names, "        {:?} => Some(&{table}),", &name[1..]);
    message.nested_type.iter().for_each(|nested| form(&name, nested, tables, names));
}

/// The name of a message's table.
fn table(name: &str) -> String {
    name[1..].replace('.', "_").to_uppercase()
}

fn kind(of: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let wire = match field.r#type() {
        Type::String => return "Kind::Text".into(),
        Type::Bytes => return "Kind::Bytes".into(),
        Type::Message if is_entry(of, field) => return format!("Kind::Entry(&{})", table(field.type_name())),
        Type::Message => return format!("Kind::Message(&{})", table(field.type_name())),
        Type::Group => unreachable!("proto3 has no groups"),
        Type::Double | Type::Fixed64 | Type::Sfixed64 => "Fixed64",
        Type::Float | Type::Fixed32 | Type::Sfixed32 => "Fixed32",
        _ => "Varint",
    };
    let many = field.label() == Label::Repeated;
    if many { format!("Kind::Many(Wire::{wire})") } else { format!("Kind::{wire}") }
}

/// Whether a field is a map: repeated messages of a type made for it.
fn is_entry(of: &DescriptorProto, field: &FieldDescriptorProto) -> bool {
    let name = field.type_name().rsplit('.').next();
    let made_for_maps =
        |nested: &&DescriptorProto| nested.options.as_ref().is_some_and(|options| options.map_entry());
    of.nested_type.iter().filter(made_for_maps).any(|nested| Some(nested.name()) == name)
}
