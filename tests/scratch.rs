use std::collections::{BTreeMap, VecDeque};
use folkmoot::config::Config;
use folkmoot::engine::*;
use folkmoot::wire::line::Lines;
use folkmoot::wire::names::*;
use folkmoot::wire::time::*;

struct Sim { engines: Vec<Engine>, now: u64, next: u64, wire: VecDeque<(usize, Event)>, pair: BTreeMap<(usize, ConnId), (usize, ConnId)>, heard: BTreeMap<(usize,ConnId), Vec<String>> }
impl Sim {
  fn new(n: usize) -> Sim {
    let now = Now { wall: Timestamp(1_000_000_000_000), steady_ms: 0 };
    let engines = (0..n).map(|i| {
      let mut c = Config::default(); c.limits.flood=false;
      Engine::new(c, Identity { sid: ServerId::parse(&format!("{i}AA")).unwrap(), name: ServerName::parse(&format!("s{i}.lan")).unwrap(), epoch: 1, secret: vec![1;32], pin: Pin([i as u8;32]), clock_floor_ms: 0, seed: [i as u8;32], version: "folkmoot-0".into() }, now)
    }).collect();
    Sim { engines, now: 0, next: 1, wire: VecDeque::new(), pair: BTreeMap::new(), heard: BTreeMap::new() }
  }
  fn step(&mut self, i: usize, e: Event) {
    let now = Now { wall: Timestamp(1_000_000_000_000 + self.now), steady_ms: self.now };
    for f in self.engines[i].step(now, e) {
      match f {
        Effect::Send{to,line} => self.out(i,to,&line),
        Effect::SendAll{to,line} => for t in to { self.out(i,t,&line) },
        Effect::Close{conn,why} => { println!("s{i} closes {conn:?} {why}"); if let Some((j,c)) = self.pair.remove(&(i,conn)) { self.pair.remove(&(j,c)); self.wire.push_back((j, Event::Closed{conn:c, why: why.clone()})); } self.wire.push_back((i, Event::Closed{conn, why})); }
        Effect::Note{level,text,..} => println!("s{i} {level} {text}"),
        _ => {}
      }
    }
  }
  fn out(&mut self, i: usize, to: ConnId, line: &str) {
    if let Some(&(j,c)) = self.pair.get(&(i,to)) { println!("   s{i}->s{j} {line}"); self.wire.push_back((j, Event::Lines{conn:c, lines: Lines::from(line)})); }
    else { println!("   s{i}:{} < {line}", to.0); self.heard.entry((i,to)).or_default().push(line.to_string()); }
  }
  fn run(&mut self) { while let Some((i,e)) = self.wire.pop_front() { self.step(i,e); } }
  fn link(&mut self, a: usize, b: usize) {
    let (ca,cb) = (ConnId(self.next), ConnId(self.next+1)); self.next += 2;
    self.pair.insert((a,ca),(b,cb)); self.pair.insert((b,cb),(a,ca));
    let addr: std::net::SocketAddr = format!("10.0.0.{b}:6900").parse().unwrap();
    // make a dial through discovery
    let now = Now { wall: Timestamp(1_000_000_000_000 + self.now), steady_ms: self.now };
    let _ = now;
    self.step(a, Event::Discovered(Beacon{ sid: ServerId::parse(&format!("{b}AA")).unwrap(), name: format!("s{b}.lan"), network: "Folkmoot".into(), link: addr, pin: Pin([b as u8;32]), ours: true }));
    self.now += 2000;
    let now = Now { wall: Timestamp(1_000_000_000_000 + self.now), steady_ms: self.now };
    let mut ask = None;
    for f in self.engines[a].step(now, Event::Tick) { if let Effect::Dial{ask: k, ..} = f { ask = Some(k) } }
    self.step(a, Event::Opened{conn: ca, from: Origin::Peer{address: addr, dialled: ask, pin: Pin([b as u8;32]), exporter: [9;32]}});
    self.step(b, Event::Opened{conn: cb, from: Origin::Peer{address: addr, dialled: None, pin: Pin([a as u8;32]), exporter: [9;32]}});
    self.run();
  }
  fn client(&mut self, i: usize, nick: &str) -> (usize, ConnId) {
    let c = ConnId(self.next); self.next += 1;
    self.step(i, Event::Opened{conn:c, from: Origin::Client{address: "127.0.0.1:5000".parse().unwrap(), secure: None}});
    self.say((i,c), &format!("CAP LS 302\r\nCAP REQ :batch server-time message-tags labeled-response\r\nCAP END\r\nNICK {nick}\r\nUSER {nick} 0 * :{nick}"));
    (i,c)
  }
  fn say(&mut self, (i,c): (usize,ConnId), text: &str) { self.step(i, Event::Lines{conn:c, lines: Lines::from(text)}); self.run(); }
}
#[test]
fn two() {
  let mut s = Sim::new(2);
  let a = s.client(0, "alice");
  let b = s.client(1, "bob");
  s.link(0,1);
  s.say(a, "@label=x NICK bob");
  s.say(b, "QUIT :ciao");
  s.now += 1; s.step(1, Event::Stop{why:"bye".into()}); s.run();
  assert_eq!(s.engines[0].report().users_network, 1);
}

struct Rng(u64);
impl Rng { fn n(&mut self, k: usize) -> usize { self.0 ^= self.0 << 13; self.0 ^= self.0 >> 7; self.0 ^= self.0 << 17; ((self.0 >> 20) % k as u64) as usize } }
struct Q { msgs: VecDeque<(u64, Vec<String>)> }
struct Net { e: Vec<Engine>, cfg: Vec<Identity>, now: u64, next: u64, links: BTreeMap<(usize,ConnId),(usize,ConnId)>, q: BTreeMap<(usize,ConnId), Q>, close: Vec<(u64,usize,ConnId)>, up: BTreeMap<(usize,usize),bool>, clients: Vec<(usize,ConnId)>, steps: u64, trace: bool, skew: Vec<i64> }
impl Net {
  fn now(&self, i: usize) -> Now { Now { wall: Timestamp((1_000_000_000_000 + self.now as i64 + self.skew[i]) as u64), steady_ms: self.now } }
  fn step(&mut self, i: usize, ev: Event, r: &mut Rng) {
    self.steps += 1;
    if self.trace { if !matches!(ev, Event::Tick) { println!("{} s{i} <= {ev:?}", self.now); } }
    let now = self.now(i);
    for f in self.e[i].step(now, ev) {
      match f {
        Effect::Send{to,line} => self.out(i,to,&line,r),
        Effect::SendAll{to,line} => for t in to { self.out(i,t,&line,r) },
        Effect::Close{conn,..} => self.shut(i, conn),
        Effect::Dial{ask,address,..} => {
          let j: usize = address.split('.').nth(3).unwrap().split(':').next().unwrap().parse().unwrap();
          if *self.up.get(&(i.min(j),i.max(j))).unwrap_or(&false) {
            let (ca,cb) = (ConnId(self.next), ConnId(self.next+1)); self.next += 2;
            self.links.insert((i,ca),(j,cb)); self.links.insert((j,cb),(i,ca));
            let a: std::net::SocketAddr = address.parse().unwrap();
            self.step(j, Event::Opened{conn: cb, from: Origin::Peer{address: a, dialled: None, pin: Pin([i as u8;32]), exporter: [9;32]}}, r);
            self.step(i, Event::Opened{conn: ca, from: Origin::Peer{address: a, dialled: Some(ask), pin: Pin([j as u8;32]), exporter: [9;32]}}, r);
          } else { self.step(i, Event::DialFailed{ask, why: "cut".into()}, r); }
        }
        Effect::Note{level,text,..} => if self.trace { println!("{} s{i} {level} {text}", self.now) },
        _ => {}
      }
    }
  }
  fn shut(&mut self, i: usize, conn: ConnId) {
    if let Some((j,c)) = self.links.remove(&(i,conn)) { self.links.remove(&(j,c)); self.close.push((self.now+5,j,c)); }
    self.close.push((self.now+5,i,conn));
  }
  fn out(&mut self, i: usize, to: ConnId, line: &str, r: &mut Rng) {
    if let Some(&(j,c)) = self.links.get(&(i,to)) { if self.trace { println!("{}   s{i}->s{j} {line}", self.now); } let q = self.q.entry((j,c)).or_insert(Q{msgs:VecDeque::new()}); let at = (self.now + 1 + r.n(40) as u64).max(q.msgs.back().map_or(0,|m| m.0)); q.msgs.push_back((at, vec![line.to_string()])); }
  }
  fn advance(&mut self, ms: u64, r: &mut Rng) {
    let end = self.now + ms;
    while self.now < end {
      self.now += 10;
      if self.now % 250 == 0 { for i in 0..self.e.len() { self.step(i, Event::Tick, r); } }
      loop {
        let due: Vec<(usize,ConnId)> = self.q.iter().filter(|(k,q)| self.links.contains_key(k) && q.msgs.front().is_some_and(|m| m.0 <= self.now)).map(|(k,_)| *k).collect();
        if due.is_empty() { break }
        for k in due { let (_, l) = self.q.get_mut(&k).unwrap().msgs.pop_front().unwrap(); self.step(k.0, Event::Lines{conn:k.1, lines: Lines::from(l.join("\n").as_str())}, r); }
      }
      let c: Vec<_> = self.close.iter().filter(|c| c.0 <= self.now).cloned().collect(); self.close.retain(|c| c.0 > self.now);
      for (_, i, conn) in c { self.q.remove(&(i,conn)); self.step(i, Event::Closed{conn, why: "closed".into()}, r); }
    }
  }
}
fn run(seed: u64, trace: bool) -> Result<(), String> {
  let mut r = Rng(seed.wrapping_mul(0x9e3779b97f4a7c15) | 1); for _ in 0..10 { r.n(3); }
  let n = 2 + r.n(5);
  let ids: Vec<Identity> = (0..n).map(|i| Identity { sid: ServerId::parse(&format!("{i}AA")).unwrap(), name: ServerName::parse(&format!("s{i}.lan")).unwrap(), epoch: 1, secret: vec![1;32], pin: Pin([i as u8;32]), clock_floor_ms: 0, seed: [seed as u8 ^ i as u8;32], version: "f".into() }).collect();
  let mut up = BTreeMap::new();
  let skew: Vec<i64> = (0..n).map(|_| r.n(6000) as i64 - 3000).collect();
  for i in 0..n { for j in i+1..n { if j == i+1 || r.n(3)==0 { up.insert((i,j), true); } } }
  let e = (0..n).map(|i| { let mut c = Config::default(); for (&(a,b),_) in &up { if a==i || b==i { let o = if a==i {b} else {a}; c.link.push(folkmoot::config::Link{ name: format!("s{o}.lan"), address: format!("10.0.0.{o}:6900"), pin: None, connect: true }); } }
     Engine::new(c, ids[i].clone(), Now{wall: Timestamp((1_000_000_000_000 + skew[i]) as u64), steady_ms: 0}) }).collect();
  let mut s = Net { e, cfg: ids, now: 0, next: 1, links: BTreeMap::new(), q: BTreeMap::new(), close: vec![], up: up.clone(), clients: vec![], steps: 0, trace, skew };
  for _ in 0..60 {
    match r.n(10) {
      0..=2 => { let i = r.n(n); let c = ConnId(s.next); s.next+=1; let nick = format!("n{}", r.n(12)); s.step(i, Event::Opened{conn:c, from: Origin::Client{address: "127.0.0.1:5000".parse().unwrap(), secure: None}}, &mut r); s.step(i, Event::Lines{conn:c, lines: Lines::from(format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}").as_str())}, &mut r); s.clients.push((i,c)); }
      3..=4 if !s.clients.is_empty() => { let k = s.clients[r.n(s.clients.len())]; let nick = format!("n{}", r.n(12)); s.step(k.0, Event::Lines{conn:k.1, lines: Lines::from(format!("NICK {nick}").as_str())}, &mut r); }
      5 if !s.clients.is_empty() => { let at = r.n(s.clients.len()); let k = s.clients.swap_remove(at); s.step(k.0, Event::Lines{conn:k.1, lines: Lines::from("QUIT :x")}, &mut r); }
      6..=7 => { let ks: Vec<_> = up.keys().cloned().collect(); let k = ks[r.n(ks.len())]; let now = !s.up[&k]; s.up.insert(k, now); if !now { let cs: Vec<_> = s.links.iter().filter(|((a,_),(b,_))| (*a,*b)==k).map(|((a,c),_)| (*a,*c)).collect(); for (a,c) in cs { s.shut(a,c); } } }
      8 => { let ms = r.n(9000) as u64; s.advance(ms, &mut r); }
      _ => { let ms = r.n(300) as u64; s.advance(ms, &mut r); }
    }
  }
  for (_, v) in s.up.iter_mut() { *v = true; }
  s.advance(130_000, &mut r);
  let before = s.steps;
  let hs: Vec<_> = s.e.iter().map(|e| { let r = e.report(); (r.state_hash, r.users_network, r.servers.len()) }).collect();
  let _ = before;
  if hs.windows(2).any(|w| w[0] != w[1]) || hs[0].2 != n { return Err(format!("seed {seed} n {n}: {hs:?}")); }
  let _ = &s.cfg;
  Ok(())
}
#[test]
fn random() {
  if let Ok(v) = std::env::var("SEED") { run(v.parse().unwrap(), true).unwrap(); return; }
  let mut bad = 0;
  for seed in 1..=std::env::var("SEEDS").ok().map_or(40, |v| v.parse().unwrap()) { if let Err(e) = std::panic::catch_unwind(|| run(seed, false)).unwrap_or_else(|_| Err(format!("panic {seed}"))) { println!("{e}"); bad += 1; } }
  assert_eq!(bad, 0);
}
