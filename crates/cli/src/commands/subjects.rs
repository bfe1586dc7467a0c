//! `tidings subjects`: every subject that messages go by, from the registry; and, from the same table, what each kind of
//! process may do on NATS, as a part of nats-server's configuration.

use std::fmt::Write;

use serde_json::json;
use tidings_bus::{Registry, Rights};
use tidings_service::listing::{Listed, listed};
use tidings_service::rights::{OPERATOR, PROCESSES, Role, WORLD, operator_rights, rights, user};
use tidings_service::subjects::registry;

use crate::args::SubjectsArgs;
use crate::config::Config;
use crate::{Outcome, output, wrong_use};

/// A user of the cluster.
struct User {
    name: String,
    /// The variable of nats-server's environment that its password is in.
    password: String,
    /// Of a process; none: the command line's user.
    roles: String,
    rights: Rights,
}

/// Prints one or the other.
pub fn run(args: &SubjectsArgs) -> anyhow::Result<Outcome> {
    let config = match Config::read(&args.config.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    let prefix = config.subject_prefix();
    let registry = registry(prefix)?;
    if args.permissions {
        let users = users(&registry, prefix)?;
        if args.json {
            output::json(&permissions_json(&users, args.account.as_deref()))
        } else {
            output::say(permissions(&users, args.account.as_deref()).trim_end())
        }
    } else if args.json {
        output::json(&json!({ "subjects": listed(&registry) }));
    } else {
        output::say(&format!(
            "{:<42} {:<10} {:<28} {:>9}  slow reader",
            "subject", "class", "message", "largest"
        ));
        listed(&registry).iter().for_each(|row| output::say(&line(row)));
    }
    Ok(Outcome::Done)
}

fn line(row: &Listed) -> String {
    let Listed { subject, class, message, max_payload, slow_reader, .. } = row;
    format!("{subject:<42} {class:<10} {message:<28} {max_payload:>9}  {slow_reader}")
}

fn users(registry: &Registry, prefix: Option<&str>) -> anyhow::Result<Vec<User>> {
    let one = |of: &str, roles: &[Role], rights: Rights| {
        let name = format!("{}-{of}", prefix.unwrap_or(WORLD));
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let password = format!("NATS_{}_PASSWORD", name.chars().map(plain).collect::<String>());
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        User { name, password, roles: names.join(", "), rights }
    };
    let process = |roles: &[Role]| Ok(one(&user(roles), roles, rights(registry, prefix, roles)?));
    let mut users = PROCESSES.into_iter().map(process).collect::<anyhow::Result<Vec<_>>>()?;
    users.push(one(OPERATOR, &[], operator_rights(registry, prefix)?));
    Ok(users)
}

fn permissions_json(users: &[User], account: Option<&str>) -> serde_json::Value {
    let users: Vec<_> = users
        .iter()
        .map(|user| {
            json!({
                "user": user.name, "password_variable": user.password, "roles": user.roles,
                "publish": user.rights.publish, "subscribe": user.rights.subscribe,
            })
        })
        .collect();
    json!({ "account": account, "users": users })
}

/// As nats-server reads it.
fn permissions(users: &[User], account: Option<&str>) -> String {
    let mut text = String::from(
        "# Who may do what on NATS, from 'tidings subjects --permissions': for 'include' in nats-server's configuration,\n\
         # of an account (--account) within its 'accounts { }'.\n\
         # A process has the user of its roles ('nats.user'). Remove the users that no process has; each other one's\n\
         # password is in the environment of nats-server, or written here in the place of its variable.\n",
    );
    match account {
        Some(name) => {
            let _ = writeln!(text, "{name}: {{\n  jetstream: enabled\n  users: [");
        }
        None => text.push_str("authorization {\n  users: [\n"),
    }
    for user in users {
        let (name, password) = (&user.name, &user.password);
        let of = match user.roles.as_str() {
            "" => "tidings check, streams, dlq".to_owned(),
            roles => format!("--roles {roles}"),
        };
        let _ = write!(text, "    {{ # {of}\n      user: \"{name}\", password: ${password}\n");
        text.push_str("      permissions: {\n");
        list(&mut text, "publish", &user.rights.publish);
        list(&mut text, "subscribe", &user.rights.subscribe);
        text.push_str("        allow_responses: { max: 1, expires: \"2m\" }\n      }\n    }\n");
    }
    text + "  ]\n}\n"
}

fn list(text: &mut String, what: &str, subjects: &[String]) {
    let _ = writeln!(text, "        {what}: {{ allow: [");
    for subject in subjects {
        let _ = writeln!(text, "          \"{subject}\"");
    }
    text.push_str("        ] }\n");
}
