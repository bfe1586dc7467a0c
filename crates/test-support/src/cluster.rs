//! A cluster of real NATS servers that can be taken apart: each is reached through a proxy by clients, and by every other
//! server through one of their own, so that a network fault is as easy as a kill.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::nats::{NatsServer, Peers, START_TRIES, free_ports};
use crate::proxy::{Proxy, Wire};

/// Where a server says it is to be found by the others: nowhere, so that they keep to the proxies.
const NOWHERE: &str = "127.0.0.1:1";
/// A server that is to go says so, and a second later lets its clients go, one after the other.
const LAME_DUCK: &str = "lame_duck_grace_period: \"1s\"\nlame_duck_duration: \"30s\"\n";

/// The servers and what is between them.
pub struct NatsCluster {
    /// The servers.
    pub servers: Vec<NatsServer>,
    /// What clients of each go through.
    doors: Vec<Proxy>,
    /// What the first goes through to the second.
    routes: Vec<((usize, usize), Proxy)>,
}

impl NatsCluster {
    /// Starts `count` servers as one cluster.
    pub async fn start(version: &str, count: usize) -> Result<Self> {
        let mut started = Self::start_once(version, count).await;
        // The ports are chosen before they are taken: somebody else may have come between.
        for _ in 1..START_TRIES {
            if started.is_ok() {
                break;
            }
            started = Self::start_once(version, count).await;
        }
        started
    }

    async fn start_once(version: &str, count: usize) -> Result<Self> {
        let ports = free_ports(2 * count)?;
        let (clients, peers) = ports.split_at(count);
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let mut doors = Vec::new();
        for port in clients {
            doors.push(Proxy::start(local(*port)).await?);
        }
        let mut routes = Vec::new();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                routes.push(((from, to), Proxy::start(local(peers[to])).await?));
            }
        }
        let mut servers = Vec::new();
        for place in 0..count {
            let own = routes.iter().filter(|((from, _), _)| *from == place);
            let peers = Peers {
                name: format!("n{place}"),
                listen: peers[place],
                routes: own.map(|(_, proxy)| proxy.address()).collect(),
                advertise: Some((NOWHERE.to_owned(), doors[place].address().to_string())),
            };
            servers.push(NatsServer::start_at(version, local(clients[place]), peers, LAME_DUCK)?);
        }
        Ok(Self { servers, doors, routes })
    }

    /// Where clients connect.
    pub fn urls(&self) -> Vec<String> {
        self.doors.iter().map(Proxy::url).collect()
    }

    /// The place of the server of this name.
    pub fn place_of(&self, name: &str) -> Result<usize> {
        self.servers.iter().position(|server| server.name() == name).context("no server of the cluster")
    }

    /// How it is between one server and its clients.
    pub fn set_door(&self, place: usize, wire: Wire) {
        self.doors[place].set(wire);
    }

    /// The server with most clients, the first of these from `place` on.
    pub fn busiest(&self, place: usize) -> usize {
        let count = self.doors.len();
        let from = (0..count).map(|step| (place + step) % count);
        // The last of equals is taken: so the other way round.
        from.rev().max_by_key(|place| self.doors[*place].open()).unwrap_or(place)
    }

    /// How it is between one server and all the others.
    pub fn set_routes(&self, place: usize, wire: Wire) {
        let its = self.routes.iter().filter(|((from, to), _)| *from == place || *to == place);
        its.for_each(|(_, proxy)| proxy.set(wire));
    }
}
