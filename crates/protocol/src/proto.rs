//! The protobuf messages on the bus, made from `proto/` when the crate is built.

#![allow(missing_docs, clippy::all, rustdoc::all)] // generated; the documentation is in proto/

/// Events in the logs, and commands to the owners of zones.
pub mod world {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tidings.world.v1.rs"));
    }
}

/// The services.
pub mod services {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tidings.services.v1.rs"));

        /// A `Debug` that shows nothing of messages with a password, a token or a secret.
        macro_rules! hidden {
            ($($name:ident),+) => {$(
                impl std::fmt::Debug for $name {
                    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!(stringify!($name), " { .. }"))
                    }
                }
            )+};
        }
        hidden!(
            RegisterRequest,
            SignInRequest,
            RefreshRequest,
            VerifyRequest,
            Tokens,
            Ticket,
            PresentedTicket,
            ResumeSessionRequest,
            OpenSession,
            StaffToken
        );
    }
}

#[cfg(test)]
mod tests {
    use super::services::v1::*;

    #[test]
    fn no_debug_form_shows_a_secret() {
        let secret = || "hunter2".to_owned();
        let shown = [
            format!("{:?}", RegisterRequest { password: secret(), ..Default::default() }),
            format!("{:?}", SignInRequest { password: secret(), ..Default::default() }),
            format!("{:?}", RefreshRequest { refresh_token: secret() }),
            format!("{:?}", VerifyRequest { access_token: secret() }),
            format!("{:#?}", Tokens { access_token: secret(), csrf_token: secret(), ..Default::default() }),
            format!("{:?}", Ticket { ticket: secret(), ..Default::default() }),
            format!("{:?}", PresentedTicket { ticket: secret(), csrf_token: secret() }),
            format!("{:?}", ResumeSessionRequest { secret: secret(), ..Default::default() }),
            format!("{:?}", Some(OpenSession { resume_secret: secret(), ..Default::default() })),
            format!("{:?}", StaffToken { access: secret(), refresh: secret() }),
        ];
        assert!(shown.iter().all(|text| !text.contains("hunter2")), "{shown:?}");
    }
}
