//! `tidings user`: accounts, from the machine that the data is on.

use std::io::{BufRead, Read};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::args::{FolderArgs, UserVerb};
use crate::config::Config;
use crate::control::{Access, Request};
use crate::{Outcome, output, wrong_use};

/// Longest password line that is read.
const PASSWORD_BYTES_MAX: u64 = 4 * 1024;
/// Letters of a password that is made up: 20 of 32, 100 bits.
const MADE_UP_LETTERS: usize = 20;
/// Without those that look like one another; 32, so that each byte picks one evenly.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Runs the verb.
pub fn run(verb: UserVerb) -> anyhow::Result<Outcome> {
    match verb {
        UserVerb::Add { name, role, password_stdin, folder } => with(&folder, true, |access| {
            let (password, made_up) = password(password_stdin)?;
            let add = Request::UserAdd { name: name.clone(), role, password: Some(password.clone()) };
            let mut account = access.ask(add)?;
            if made_up {
                account["password"] = json!(password);
            }
            let role = account["role"].as_str().unwrap_or_default().to_owned();
            tell(&folder, &account, &format!("The account '{name}' is made, as {role}."));
            tell_password(&folder, made_up, &password);
            Ok(())
        }),
        UserVerb::List { folder } => with(&folder, false, |access| list(access, &folder)),
        UserVerb::Role { name, role, to, folder } => with(&folder, false, |access| {
            let role = role.or(to).context("a role is needed")?;
            let told = tidings_storage::Role::from(role).as_str();
            access.ask(Request::UserRole { name: name.clone(), role })?;
            tell(&folder, &json!({ "username": name, "role": told }), &format!("'{name}' is {told} now."));
            Ok(())
        }),
        UserVerb::Password { name, password_stdin, folder } => with(&folder, false, |access| {
            let (password, made_up) = password(password_stdin)?;
            access.ask(Request::UserPassword { name: name.clone(), password: password.clone() })?;
            let mut data = json!({ "username": name });
            if made_up {
                data["password"] = json!(password);
            }
            tell(&folder, &data, &format!("The password of '{name}' is changed."));
            tell_password(&folder, made_up, &password);
            Ok(())
        }),
        UserVerb::Ban { name, minutes, reason, lift, folder } => with(&folder, false, |access| {
            let (request, text) = if lift {
                (Request::UserUnban { name: name.clone() }, format!("'{name}' may come in again."))
            } else {
                let request = Request::UserBan { name: name.clone(), minutes, reason };
                let how_long = minutes.map_or_else(|| "for good".to_owned(), |n| format!("for {n} minutes"));
                (request, format!("'{name}' is banned {how_long}."))
            };
            access.ask(request)?;
            tell(&folder, &json!({ "username": name, "banned": !lift }), &text);
            Ok(())
        }),
        UserVerb::Remove { name, folder } => with(&folder, false, |access| {
            access.ask(Request::UserRemove { name: name.clone() })?;
            tell(&folder, &json!({ "username": name, "removed": true }), &format!("'{name}' is removed."));
            Ok(())
        }),
    }
}

fn with(
    folder: &FolderArgs,
    create: bool,
    run: impl FnOnce(&mut Access) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let config = match Config::read(&folder.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    if !config.roles().keeps_storage() {
        bail!(
            "accounts are where the storage is, and this configuration is an edge's: run this where 'services' runs"
        );
    }
    let mut access = Access::open(&config.data(), create)?;
    run(&mut access)?;
    Ok(Outcome::Done)
}

fn tell(folder: &FolderArgs, data: &Value, text: &str) {
    if folder.json { output::json(data) } else { output::say(text) }
}

fn tell_password(folder: &FolderArgs, made_up: bool, password: &str) {
    if made_up && !folder.json {
        output::say(&format!("Its password, shown this once: {password}"));
    }
}

/// The password, and whether it was made up.
fn password(from_stdin: bool) -> anyhow::Result<(String, bool)> {
    if !from_stdin {
        return Ok((made_up()?, true));
    }
    let mut line = String::new();
    let stdin = std::io::stdin().lock();
    stdin.take(PASSWORD_BYTES_MAX).read_line(&mut line).context("the password on standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("standard input holds no password");
    }
    Ok((password.to_owned(), false))
}

fn made_up() -> anyhow::Result<String> {
    let mut random = [0; MADE_UP_LETTERS];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

/// Page by page: a server may have more accounts than an answer holds.
fn list(access: &mut Access, folder: &FolderArgs) -> anyhow::Result<()> {
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = access.ask(Request::UserList { after: after.clone() })?;
        let accounts = page["accounts"].as_array().cloned().unwrap_or_default();
        let Some(last) = accounts.last().and_then(|account| account["username"].as_str()) else { break };
        if last == after {
            break;
        }
        last.clone_into(&mut after);
        all.extend(accounts);
    }
    if folder.json {
        output::json(&json!({ "accounts": all }));
    } else if all.is_empty() {
        output::say("There are no accounts. 'tidings user add NAME --role admin' makes one.");
    } else {
        all.iter().for_each(|account| output::say(&line(account)));
    }
    Ok(())
}

fn line(account: &Value) -> String {
    let text = |key: &str| account[key].as_str().unwrap_or_default().to_owned();
    let seconds = account["created_ms"].as_i64().unwrap_or_default() / 1_000;
    let since = time::OffsetDateTime::from_unix_timestamp(seconds).map(|time| time.date().to_string());
    let banned = if account["banned"] == true { "  (banned)" } else { "" };
    format!("{:<32}  {:<9}  since {}{banned}", text("username"), text("role"), since.unwrap_or_default())
}
