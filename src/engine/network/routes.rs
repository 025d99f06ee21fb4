//! The map of links: who can be reached, and down which tree each origin's events travel.
//!
//! Every server computes the same trees from the same map, so each event crosses each tree edge once
//! though links are redundant.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::names::ServerId;

/// What one server says of its own links; the newest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub epoch: u32,
    pub number: u64,
    pub peers: BTreeMap<ServerId, u32>,
}

#[derive(Clone, Debug)]
pub struct Routes {
    me: ServerId,
    known: BTreeMap<ServerId, Route>,
    /// For each origin that can be reached, to whom this server passes its events on.
    children: BTreeMap<ServerId, BTreeSet<ServerId>>,
    /// For each server that can be reached, its distance and the neighbour that is nearest to it.
    towards: BTreeMap<ServerId, (u32, ServerId)>,
}

impl Routes {
    pub fn new(me: ServerId) -> Routes {
        let mut routes =
            Routes { me, known: BTreeMap::new(), children: BTreeMap::new(), towards: BTreeMap::new() };
        routes.compute();
        routes
    }

    /// Takes what a server says of its links; `false` where something as new was known.
    pub fn learn(&mut self, server: ServerId, route: Route) -> bool {
        let version = |route: &Route| (route.epoch, route.number);
        if self.known.get(&server).is_some_and(|known| version(known) >= version(&route)) {
            return false;
        }
        self.known.insert(server, route);
        self.compute();
        true
    }

    pub fn known(&self) -> impl Iterator<Item = (ServerId, &Route)> {
        self.known.iter().map(|(server, route)| (*server, route))
    }

    /// The links that a server says it has, whether or not the other ends agree.
    pub fn edges_said_by(&self, server: ServerId) -> Option<&BTreeMap<ServerId, u32>> {
        self.known.get(&server).map(|route| &route.peers)
    }

    pub fn is_reachable(&self, server: ServerId) -> bool {
        self.towards.contains_key(&server)
    }

    /// Every server that there is a path to, this one included.
    pub fn reachable(&self) -> impl Iterator<Item = ServerId> {
        self.towards.keys().copied()
    }

    /// The neighbour through which a server is reached; this server itself for itself.
    pub fn next_hop(&self, server: ServerId) -> Option<ServerId> {
        self.towards.get(&server).map(|(_, hop)| *hop)
    }

    /// How many links lie on the way.
    pub fn hops(&self, server: ServerId) -> usize {
        let mut at = server;
        let mut hops = 0;
        while at != self.me && hops < self.known.len() {
            match self.parent(self.me, at) {
                Some(parent) => at = parent,
                None => break,
            }
            hops += 1;
        }
        hops
    }

    /// Whom a server is reached through, seen from here.
    pub fn uplink(&self, server: ServerId) -> Option<ServerId> {
        self.parent(self.me, server)
    }

    /// What the way to a server costs.
    pub fn distance(&self, server: ServerId) -> Option<u32> {
        self.towards.get(&server).map(|(distance, _)| *distance)
    }

    /// What the link between two servers costs.
    pub fn cost(&self, one: ServerId, other: ServerId) -> Option<u32> {
        self.edges(one).find(|(peer, _)| *peer == other).map(|(_, cost)| cost)
    }

    /// Whether events of this origin go from here to that neighbour.
    pub fn is_child(&self, origin: ServerId, neighbour: ServerId) -> bool {
        self.children.get(&origin).is_some_and(|children| children.contains(&neighbour))
    }

    /// The links of a server that both ends know of.
    pub fn edges(&self, server: ServerId) -> impl Iterator<Item = (ServerId, u32)> {
        let peers = self.known.get(&server).into_iter().flat_map(|route| &route.peers);
        peers.filter_map(move |(peer, cost)| {
            let back = self.known.get(peer)?.peers.get(&server)?;
            Some((*peer, (*cost).max(*back)))
        })
    }

    fn compute(&mut self) {
        let from_here = self.distances(self.me);
        let origins: Vec<ServerId> = from_here.keys().copied().collect();
        self.children = origins
            .iter()
            .map(|&origin| {
                let children = self
                    .edges(self.me)
                    .map(|(peer, _)| peer)
                    .filter(|&peer| self.parent(origin, peer) == Some(self.me));
                (origin, children.collect())
            })
            .collect();
        let mut towards = BTreeMap::from([(self.me, (0, self.me))]);
        for &server in &origins {
            let mut hop = server;
            while let Some(parent) = self.parent(self.me, hop)
                && parent != self.me
            {
                hop = parent;
            }
            towards.entry(server).or_insert((from_here[&server], hop));
        }
        self.towards = towards;
    }

    /// Before whom a server comes in an origin's tree: on a shortest path, the lowest id where several are.
    fn parent(&self, origin: ServerId, of: ServerId) -> Option<ServerId> {
        if of == origin {
            return None;
        }
        let distances = self.distances(origin);
        let distance = *distances.get(&of)?;
        self.edges(of)
            .filter(|(peer, cost)| distances.get(peer).is_some_and(|before| before + cost == distance))
            .map(|(peer, _)| peer)
            .min()
    }

    fn distances(&self, origin: ServerId) -> BTreeMap<ServerId, u32> {
        let mut distances = BTreeMap::from([(origin, 0u32)]);
        let mut open = BTreeSet::from([(0u32, origin)]);
        while let Some((distance, server)) = open.pop_first() {
            for (peer, cost) in self.edges(server) {
                let there = distance.saturating_add(cost.max(1));
                if distances.get(&peer).is_none_or(|known| there < *known) {
                    distances.insert(peer, there);
                    open.insert((there, peer));
                }
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ServerId {
        ServerId::parse(text).unwrap()
    }

    fn routes(me: &str, links: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::new(id(me));
        let mut peers: BTreeMap<ServerId, BTreeMap<ServerId, u32>> = BTreeMap::new();
        for (one, other) in links {
            peers.entry(id(one)).or_default().insert(id(other), 1);
            peers.entry(id(other)).or_default().insert(id(one), 1);
        }
        for (server, peers) in peers {
            routes.learn(server, Route { epoch: 1, number: 1, peers });
        }
        routes
    }

    #[test]
    fn each_origins_events_reach_everyone_exactly_once() {
        let names = ["1AA", "2BB", "3CC", "4DD", "5EE"];
        let ring =
            [("1AA", "2BB"), ("2BB", "3CC"), ("3CC", "4DD"), ("4DD", "5EE"), ("5EE", "1AA"), ("1AA", "3CC")];
        for origin in names {
            let mut received: BTreeMap<ServerId, usize> = BTreeMap::new();
            for sender in names {
                let map = routes(sender, &ring);
                for receiver in names.map(id) {
                    *received.entry(receiver).or_default() += usize::from(map.is_child(id(origin), receiver));
                }
            }
            for (server, count) in received {
                assert_eq!(count, usize::from(server != id(origin)), "{origin} to {server}");
            }
        }
    }

    #[test]
    fn a_link_that_only_one_end_knows_of_is_none() {
        let mut map = Routes::new(id("1AA"));
        map.learn(id("1AA"), Route { epoch: 1, number: 1, peers: BTreeMap::from([(id("2BB"), 1)]) });
        assert!(!map.is_reachable(id("2BB")));
        map.learn(id("2BB"), Route { epoch: 1, number: 1, peers: BTreeMap::from([(id("1AA"), 1)]) });
        assert_eq!(map.next_hop(id("2BB")), Some(id("2BB")));
    }

    #[test]
    fn what_is_older_is_not_learned() {
        let mut map = routes("1AA", &[("1AA", "2BB"), ("2BB", "3CC")]);
        assert_eq!((map.hops(id("3CC")), map.next_hop(id("3CC"))), (2, Some(id("2BB"))));
        assert!(!map.learn(id("2BB"), Route { epoch: 1, number: 1, peers: BTreeMap::new() }));
        assert!(map.learn(id("2BB"), Route { epoch: 2, number: 0, peers: BTreeMap::new() }));
        assert!(!map.is_reachable(id("2BB")));
    }
}
