//! The two tables of codes on the wire: errors, and reasons to close. `docs/protocol.md` shows both.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// What went wrong, in `error` frames, in problem documents and between services.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// The code as it is written.
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text,)* } }
            /// The HTTP status it goes with.
            pub fn http_status(self) -> u16 { match self { $(Self::$name => $status,)* } }
            /// The code written so, if there is one.
            pub fn from_name(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

error_codes! {
    /// The input does not have the form that is asked for.
    InvalidArgument = "invalid_argument", 400;
    /// A frame is not UTF-8 JSON of a known type with known fields.
    BadFrame = "bad_frame", 400;
    /// No valid sign-in goes with this.
    Unauthenticated = "unauthenticated", 401;
    /// The account may not do this.
    PermissionDenied = "permission_denied", 403;
    /// There is no such thing.
    NotFound = "not_found", 404;
    /// The thing is there, but not for this HTTP method.
    MethodNotAllowed = "method_not_allowed", 405;
    /// There is one already, or it changed in between.
    Conflict = "conflict", 409;
    /// The operation was given up for another; trying again can help.
    Aborted = "aborted", 409;
    /// The state does not allow this now.
    FailedPrecondition = "failed_precondition", 412;
    /// Larger than allowed.
    TooLarge = "too_large", 413;
    /// Not JSON: the content type says something else.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// Too often: `retry_after_ms` says when to try again.
    RateLimited = "rate_limited", 429;
    /// No room for more now.
    ResourceExhausted = "resource_exhausted", 429;
    /// A fault of the server.
    Internal = "internal", 500;
    /// Not offered by this server.
    Unimplemented = "unimplemented", 501;
    /// Nobody answers at the moment; trying again can help.
    Unavailable = "unavailable", 503;
    /// No answer in time; the outcome is not known.
    DeadlineExceeded = "deadline_exceeded", 504;
}

impl ErrorCode {
    /// Whether the same call may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Aborted
                | Self::RateLimited
                | Self::ResourceExhausted
                | Self::Unavailable
                | Self::DeadlineExceeded
        )
    }
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        /// Why the server closes a WebSocket. 4000-4499 do not reconnect, 4500-4999 do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CloseCode { $($(#[$doc])* $name,)* }

        impl CloseCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// The code on the wire.
            pub fn code(self) -> u16 { match self { $(Self::$name => $code,)* } }
            /// A sentence for people.
            pub fn reason(self) -> &'static str { match self { $(Self::$name => $reason,)* } }
        }
    };
}

close_codes! {
    /// The player left on purpose.
    Left = 4000, "You have left the world.";
    /// The character was taken over by another connection.
    TakenOver = 4001, "Your character has connected from somewhere else.";
    /// No valid sign-in came with `hello`.
    Unauthenticated = 4002, "Please sign in.";
    /// The session was ended: signed out, password changed, account removed.
    Revoked = 4003, "Your session has ended. Please sign in again.";
    /// Staff sent the player out.
    Kicked = 4004, "You have been sent out of the world.";
    /// The account is banned.
    Banned = 4005, "This account is banned.";
    /// The resume secret is not valid, or no longer.
    ResumeRefused = 4006, "This session cannot be resumed. Please enter again.";
    /// The client broke the protocol.
    BadProtocol = 4007, "The client sent something that the protocol does not allow.";
    /// Limits were broken again and again.
    Flooding = 4008, "Too many messages, too fast.";
    /// The first frame did not come in time, or was no `hello`.
    NoHello = 4009, "No hello came in time.";
    /// The server drains: another takes over.
    Draining = 4500, "The server is restarting. Please come back in a moment.";
    /// The client does not read fast enough.
    SlowReader = 4501, "Your connection is too slow to keep up. Reconnecting will bring what you missed.";
    /// Nothing was heard of the client for too long.
    Stale = 4502, "Nothing was heard from you for too long.";
    /// A part the session needs does not answer.
    Unavailable = 4503, "The world cannot be reached at the moment.";
    /// A fault of the server ended the session.
    Fault = 4504, "Something went wrong on the server.";
}

impl CloseCode {
    /// Whether the client is to connect again.
    pub fn reconnects(self) -> bool {
        self.code() >= 4500
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_in_their_range() {
        let codes: HashSet<u16> = CloseCode::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(codes.len(), CloseCode::ALL.len());
        assert!(codes.iter().all(|c| (4000..5000).contains(c)));
        let names: HashSet<&str> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }
}
