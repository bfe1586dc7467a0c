//! What the profile `production` refuses, each with the setting that would allow it. Secrets have no
//! default to refuse: the key that signs tokens is made at the first start and kept in the data folder.

use super::{Config, Mistake, nats, nats_security};

/// Adds what is refused.
pub fn check(config: &Config, mistakes: &mut Vec<Mistake>) {
    plaintext_http(config, mistakes);
    registration_without_limits(config, mistakes);
    insecure_cookies(config, mistakes);
    nats::check_production(config, mistakes);
    nats_security::check_production(config, mistakes);
}

/// What is allowed and may still not be meant.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let undeclared = config.listen().ip().is_loopback() && config.list("proxy.trusted").is_empty();
    if undeclared && config.roles().edge {
        let warning = "profile production: 'listen' is an address of this machine and 'proxy.trusted' is empty. Where people come \
                       through a proxy on this machine, name it there (proxy.trusted = [\"127.0.0.1\"]): without that all of them \
                       share one address, and the limits of one address";
        warnings.push(warning.to_owned());
    }
    if config.uses_nats() && config.number("nats.replicas") == 1 {
        let warning = "profile production: 'nats.replicas' is 1: what the one server that has a stream loses is lost. A cluster \
                       of three or more keeps everything with nats.replicas = 3";
        warnings.push(warning.to_owned());
    }
    warnings
}

fn refuse(config: &Config, mistakes: &mut Vec<Mistake>, key: &str, message: String) {
    mistakes.push(Mistake {
        origin: config.origin(key).clone(),
        message: format!("profile production: {message}"),
    });
}

fn plaintext_http(config: &Config, mistakes: &mut Vec<Mistake>) {
    let proxied = !config.list("proxy.trusted").is_empty();
    if config.listen().ip().is_loopback() || proxied || config.flag("allow.plaintext_http") {
        return;
    }
    let listen = config.listen();
    refuse(
        config,
        mistakes,
        "listen",
        format!(
            "'listen' is {listen}: passwords would cross the network unencrypted. Put a proxy with TLS in front and \
             name it in 'proxy.trusted', or listen on 127.0.0.1, or set allow.plaintext_http = true"
        ),
    );
}

fn registration_without_limits(config: &Config, mistakes: &mut Vec<Mistake>) {
    if config.flag("allow.unlimited_registration") {
        return;
    }
    let open = config.flag("registration") || config.flag("guests");
    let unlimited = |key: &str| config.number(key) == 0 || config.flag("limits.dry_run");
    for key in ["limits.accounts_per_minute_per_address", "limits.sign_ins_per_minute_per_address"] {
        if open && unlimited(key) {
            let message = format!(
                "'{key}' is off while anybody may register or be a guest. Set it, close 'registration' and 'guests', \
                 or set allow.unlimited_registration = true"
            );
            refuse(config, mistakes, key, message);
        }
    }
}

fn insecure_cookies(config: &Config, mistakes: &mut Vec<Mistake>) {
    if config.flag("http.secure_cookies") || config.flag("allow.plaintext_http") {
        return;
    }
    let message = "'http.secure_cookies' is false: a sign-in could be read on its way. Leave it to the profile, or set \
                   allow.plaintext_http = true";
    refuse(config, mistakes, "http.secure_cookies", message.to_owned());
}
