//! The map of links: who can be reached, and down which tree each origin's events travel.
//!
//! Every server computes the same trees from the same map, so each event crosses each tree edge once
//! though links are redundant.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::wire::names::ServerId;

/// No link costs less than one, or more than this: then no path runs over, whatever anybody says, though it led
/// through all the servers that there are ids for.
const COST_MAX: u32 = 50_000;

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
    /// Before whom each of those comes on the way there.
    uplinks: BTreeMap<ServerId, ServerId>,
}

impl Routes {
    pub fn new(me: ServerId) -> Routes {
        let mut routes = Routes {
            me,
            known: BTreeMap::new(),
            children: BTreeMap::new(),
            towards: BTreeMap::new(),
            uplinks: BTreeMap::new(),
        };
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
        while let Some(before) = self.uplink(at) {
            at = before;
            hops += 1;
        }
        hops
    }

    /// Whom a server is reached through, seen from here.
    pub fn uplink(&self, server: ServerId) -> Option<ServerId> {
        self.uplinks.get(&server).copied()
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
            Some((*peer, (*cost).max(*back).clamp(1, COST_MAX)))
        })
    }

    /// One tree for each origin, computed once: a map of dozens of servers is done in far less than a millisecond.
    fn compute(&mut self) {
        let graph = Graph::of(self);
        let Ok(me) = graph.servers.binary_search(&self.me) else { unreachable!("the graph has this server") };
        let own = graph.tree(me);
        let reachable = |place: &usize| own.distances[*place].is_some();
        self.children = (0..graph.servers.len())
            .filter(reachable)
            .map(|origin| {
                let tree = graph.tree(origin);
                let children = graph.links[me].iter().filter(|(peer, _)| tree.parents[*peer] == Some(me));
                (graph.servers[origin], children.map(|(peer, _)| graph.servers[*peer]).collect())
            })
            .collect();
        self.towards = (0..graph.servers.len())
            .filter_map(|place| {
                let mut hop = place;
                while let Some(parent) = own.parents[hop].filter(|parent| *parent != me) {
                    hop = parent;
                }
                Some((graph.servers[place], (own.distances[place]?, graph.servers[hop])))
            })
            .collect();
        let parents = graph.servers.iter().zip(&own.parents);
        self.uplinks =
            parents.filter_map(|(server, parent)| Some((*server, graph.servers[(*parent)?]))).collect();
    }
}

/// The links that both ends know of, with the servers numbered in the order of their ids.
struct Graph {
    servers: Vec<ServerId>,
    links: Vec<Vec<(usize, u32)>>,
}

/// All shortest paths from one server.
struct Tree {
    distances: Vec<Option<u32>>,
    /// Before whom each comes: on a shortest path, the lowest id where several are.
    parents: Vec<Option<usize>>,
}

impl Graph {
    fn of(routes: &Routes) -> Graph {
        let mut servers: Vec<ServerId> = routes.known.keys().copied().collect();
        if let Err(place) = servers.binary_search(&routes.me) {
            servers.insert(place, routes.me);
        }
        let link = |(peer, cost)| servers.binary_search(&peer).ok().map(|place| (place, cost));
        let links = servers.iter().map(|server| routes.edges(*server).filter_map(link).collect()).collect();
        Graph { servers, links }
    }

    fn tree(&self, origin: usize) -> Tree {
        let mut distances: Vec<Option<u32>> = vec![None; self.servers.len()];
        distances[origin] = Some(0);
        let mut open = BinaryHeap::from([Reverse((0u32, origin))]);
        while let Some(Reverse((distance, server))) = open.pop() {
            if distances[server].is_some_and(|known| known < distance) {
                continue;
            }
            for &(peer, cost) in &self.links[server] {
                let there = distance.saturating_add(cost);
                if distances[peer].is_none_or(|known| there < known) {
                    distances[peer] = Some(there);
                    open.push(Reverse((there, peer)));
                }
            }
        }
        let parent = |place: usize| {
            let distance = distances[place].filter(|_| place != origin)?;
            let is_before = |(peer, cost): &&(usize, u32)| {
                distances[*peer].is_some_and(|before| before.saturating_add(*cost) == distance)
            };
            self.links[place].iter().filter(is_before).map(|(peer, _)| *peer).min()
        };
        let parents = (0..self.servers.len()).map(parent).collect();
        Tree { distances, parents }
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

    #[test]
    fn whatever_anybody_says_of_costs_there_is_one_tree() {
        let mut map = Routes::new(id("1AA"));
        for (server, peers) in [
            ("1AA", [("2BB", u32::MAX), ("3CC", 0)]),
            ("2BB", [("1AA", 1), ("3CC", u32::MAX)]),
            ("3CC", [("1AA", 0), ("2BB", u32::MAX)]),
        ] {
            let peers = peers.map(|(peer, cost)| (id(peer), cost)).into();
            map.learn(id(server), Route { epoch: 1, number: 1, peers });
        }
        assert_eq!((map.next_hop(id("2BB")), map.next_hop(id("3CC"))), (Some(id("2BB")), Some(id("3CC"))));
    }

    #[test]
    fn a_dear_link_is_left_for_a_longer_way() {
        let mut map = routes("1AA", &[("1AA", "2BB"), ("2BB", "3CC"), ("3CC", "1AA")]);
        assert_eq!((map.next_hop(id("2BB")), map.is_child(id("3CC"), id("2BB"))), (Some(id("2BB")), false));
        // It is enough that one end finds it so.
        let peers = BTreeMap::from([(id("1AA"), 9), (id("3CC"), 1)]);
        assert!(map.learn(id("2BB"), Route { epoch: 1, number: 2, peers }));
        assert_eq!((map.next_hop(id("2BB")), map.hops(id("2BB"))), (Some(id("3CC")), 2));
        assert!(!map.is_child(id("1AA"), id("2BB")));
    }
}
