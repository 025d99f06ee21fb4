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
