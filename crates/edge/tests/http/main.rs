//! HTTP over real sockets, against an account service that answers by rote on the embedded bus.

mod accounts;
mod connections;
mod dead_letters;
mod guards;
mod harness;
mod operation;
mod page;
mod subjects;
mod websocket;
