//! Many lines for many people, as when a network splits: told for each person at once instead of line by line, so that
//! it costs as much as there are lines and people, and not as much as one times the other.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::cap::Caps;
use super::effect::Effect;
use super::event::ConnId;
use super::outgoing::{Audience, Outgoing};
use super::sessions::Sessions;

/// Some of many lines: those that the same people hear.
pub struct Bundle {
    all: Arc<[Box<str>]>,
    which: Bits,
    count: usize,
    bytes: usize,
    /// Made when the first of those people gets it, and gone with the last: there may be many bundles.
    text: OnceLock<Box<str>>,
}

impl Bundle {
    pub fn new(lines: impl IntoIterator<Item = impl Into<Box<str>>>) -> Bundle {
        let all: Arc<[Box<str>]> = lines.into_iter().map(Into::into).collect();
        let mut which = Bits::none(all.len());
        (0..all.len()).for_each(|place| which.set(place));
        Bundle::some_of(&all, which)
    }

    fn some_of(all: &Arc<[Box<str>]>, which: Bits) -> Bundle {
        let (count, bytes) =
            which.iter().fold((0, 0), |(count, bytes), place| (count + 1, bytes + all[place].len() + 2));
        Bundle { all: all.clone(), which, count, bytes, text: OnceLock::new() }
    }

    /// Each without its line end.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.which.iter().map(|place| &*self.all[place])
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// How long the text is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them with their line ends.
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let mut text = String::with_capacity(self.bytes);
            for line in self.lines() {
                text.push_str(line);
                text.push_str("\r\n");
            }
            text.into()
        })
    }
}

impl PartialEq for Bundle {
    fn eq(&self, other: &Bundle) -> bool {
        self.lines().eq(other.lines())
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

/// Which of so many lines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bits(Box<[u64]>);

impl Bits {
    fn none(count: usize) -> Bits {
        Bits(vec![0; count.div_ceil(64)].into())
    }

    fn set(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn is_none(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    fn add(&mut self, more: &Bits) {
        self.0.iter_mut().zip(&more.0).for_each(|(bits, more)| *bits |= more);
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut rest = *bits;
            std::iter::from_fn(move || {
                let place = (rest != 0).then(|| word * 64 + rest.trailing_zeros() as usize);
                rest &= rest.wrapping_sub(1);
                place
            })
        })
    }
}

/// So many are no list: what lists there are is looked at once, what each of them hears beside that is not.
const FEW: usize = 8;

/// Those who hear something by lists, told apart by what they hear: all begin alike, and whenever some of those who are
/// alike are on a list, these are another class from then on. So each costs one look for each list that they are on.
struct Classes<'a> {
    sessions: &'a Sessions,
    /// Everyone, and their class.
    hearers: Vec<(ConnId, usize)>,
    places: FxHashMap<ConnId, usize>,
    all: Vec<Class>,
    lines: usize,
}

#[derive(Clone)]
struct Class {
    caps: Caps,
    which: Bits,
    /// What those of them are who are on the list with this number.
    on_list: Option<(usize, usize)>,
}

impl Classes<'_> {
    fn hear(&mut self, number: usize, list: &[ConnId], which: &Bits) {
        for conn in list {
            let place = *self.places.entry(*conn).or_insert(self.hearers.len());
            if place == self.hearers.len() {
                let class = self.who_hears_nothing(*conn);
                self.hearers.push((*conn, class));
            }
            let class = self.hearers[place].1;
            self.hearers[place].1 = match self.all[class].on_list {
                Some((of, other)) if of == number => other,
                _ => self.divide(class, number, which),
            };
        }
    }

    fn divide(&mut self, class: usize, number: usize, which: &Bits) -> usize {
        let other = self.all.len();
        self.all[class].on_list = Some((number, other));
        let mut those = self.all[class].clone();
        those.which.add(which);
        self.all.push(those);
        other
    }

    fn who_hears_nothing(&mut self, conn: ConnId) -> usize {
        let caps = self.sessions.caps_of(conn).of_tags();
        let known = self.all.iter().position(|class| class.caps == caps && class.which.is_none());
        known.unwrap_or_else(|| {
            self.all.push(Class { caps, which: Bits::none(self.lines), on_list: None });
            self.all.len() - 1
        })
    }
}

/// The same lines, for those who hear them in the same form.
struct Form {
    caps: Caps,
    hearers: BTreeMap<Bits, Vec<ConnId>>,
}

/// An effect for each set of people who hear the same.
pub fn into_effects(all: &[Outgoing], sessions: &Sessions, effects: &mut Vec<Effect>) {
    for form in forms(all, sessions) {
        let mut needed = Bits::none(all.len());
        form.hearers.keys().for_each(|which| needed.add(which));
        let mut lines = vec![Box::<str>::default(); all.len()];
        needed.iter().for_each(|place| lines[place] = all[place].spoken.render(form.caps).into());
        let lines: Arc<[Box<str>]> = lines.into();
        effects.extend(form.hearers.into_iter().map(|(which, to)| {
            let mut places = which.iter();
            match (places.next(), places.next(), &to[..]) {
                (Some(place), None, [to]) => Effect::Send { to: *to, line: (*lines[place]).into() },
                (Some(place), None, _) => Effect::SendAll { to, line: (*lines[place]).into() },
                _ => {
                    drop(places);
                    Effect::SendBundle { to, bundle: Arc::new(Bundle::some_of(&lines, which)) }
                }
            }
        }));
    }
}

fn forms(all: &[Outgoing], sessions: &Sessions) -> Vec<Form> {
    // Lists are told apart by where they are.
    let mut numbers: BTreeMap<*const ConnId, usize> = BTreeMap::new();
    let mut lists: Vec<(&[ConnId], Bits)> = Vec::new();
    let mut own: BTreeMap<ConnId, Vec<usize>> = BTreeMap::new();
    for (place, outgoing) in all.iter().enumerate() {
        let any: Vec<&[ConnId]> = match &outgoing.to {
            Audience::One(conn) => vec![std::slice::from_ref(conn)],
            Audience::These(conns) => vec![conns],
            Audience::AnyOf(any) => any.iter().map(|list| &**list).collect(),
        };
        for list in any {
            if list.len() <= FEW {
                list.iter().for_each(|conn| own.entry(*conn).or_default().push(place));
                continue;
            }
            let number = *numbers.entry(list.as_ptr()).or_insert(lists.len());
            if number == lists.len() {
                lists.push((list, Bits::none(all.len())));
            }
            lists[number].1.set(place);
        }
    }
    let most = lists.iter().map(|(list, _)| list.len()).max().unwrap_or_default();
    let mut classes = Classes {
        sessions,
        hearers: Vec::with_capacity(most),
        places: FxHashMap::with_capacity_and_hasher(most, FxBuildHasher),
        all: Vec::new(),
        lines: all.len(),
    };
    for (number, (list, which)) in lists.iter().enumerate() {
        classes.hear(number, list, which);
    }
    let mut alike: BTreeMap<(Caps, Bits), Vec<ConnId>> = BTreeMap::new();
    for (conn, lines) in &own {
        let class = match classes.places.get(conn) {
            Some(place) => classes.hearers[*place].1,
            None => classes.who_hears_nothing(*conn),
        };
        let Class { caps, mut which, .. } = classes.all[class].clone();
        lines.iter().for_each(|place| which.set(*place));
        alike.entry((caps, which)).or_default().push(*conn);
    }
    let mut of_classes: Vec<Vec<ConnId>> = classes.all.iter().map(|_| Vec::new()).collect();
    for (conn, class) in &classes.hearers {
        if own.is_empty() || !own.contains_key(conn) {
            of_classes[*class].push(*conn);
        }
    }
    for (class, conns) in classes.all.into_iter().zip(of_classes).filter(|(_, conns)| !conns.is_empty()) {
        alike.entry((class.caps, class.which)).or_default().extend(conns);
    }
    let mut forms: Vec<Form> = Vec::new();
    for ((caps, which), conns) in alike {
        if forms.last().is_none_or(|form| form.caps != caps) {
            forms.push(Form { caps, hearers: BTreeMap::new() });
        }
        let form = forms.last_mut().expect("there is one by now");
        form.hearers.insert(which, conns);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::super::outgoing::Spoken;
    use super::*;
    use crate::wire::time::Timestamp;

    fn line(to: impl Into<Audience>, body: &str) -> Outgoing {
        Outgoing { to: to.into(), spoken: Spoken::new(Timestamp(0), body.to_string()) }
    }

    fn heard(all: &[Outgoing]) -> Vec<(Vec<u64>, Vec<String>)> {
        let mut effects = Vec::new();
        into_effects(all, &Sessions::default(), &mut effects);
        let numbers = |to: Vec<ConnId>| to.into_iter().map(|conn| conn.0).collect();
        let heard = effects.into_iter().map(|effect| match effect {
            Effect::Send { to, line } => (numbers(vec![to]), vec![line.to_string()]),
            Effect::SendAll { to, line } => (numbers(to), vec![line.to_string()]),
            Effect::SendBundle { to, bundle } => {
                let text: String = bundle.lines().map(|line| format!("{line}\r\n")).collect();
                assert_eq!((bundle.text(), bundle.bytes()), (text.as_str(), text.len()));
                assert_eq!(bundle.lines().count(), bundle.count());
                (numbers(to), bundle.lines().map(str::to_string).collect())
            }
            other => panic!("{other:?}"),
        });
        let mut heard: Vec<_> = heard.collect();
        heard.sort();
        heard
    }

    #[test]
    fn each_hears_their_own_lines_once_and_in_order_and_those_who_hear_the_same_share_them() {
        let list = |numbers: &[u64]| -> Arc<[ConnId]> { numbers.iter().copied().map(ConnId).collect() };
        let (green, blue, nobody) = (list(&[1, 2, 3]), list(&[3, 4]), list(&[]));
        let any_of = |lists: &[&Arc<[ConnId]>]| Audience::AnyOf(lists.iter().copied().cloned().collect());
        let all = [
            line(any_of(&[&green]), "a"),
            line(any_of(&[&green, &blue]), "b"),
            line(vec![ConnId(2), ConnId(5)], "c"),
            line(any_of(&[&blue, &nobody]), "d"),
            line(any_of(&[&nobody]), "e"),
            line(ConnId(4), "f"),
        ];
        let words = |words: &str| words.split(' ').map(str::to_string).collect::<Vec<_>>();
        let expected = [
            (vec![1], words("a b")),
            (vec![2], words("a b c")),
            (vec![3], words("a b d")),
            (vec![4], words("b d f")),
            (vec![5], words("c")),
        ];
        assert_eq!(heard(&all), expected);
        // Who is on a list beside one that has everything on it hears no more by that.
        let all: Vec<Outgoing> = (0..200)
            .map(|number| {
                line(if number % 2 == 0 { any_of(&[&green, &blue]) } else { any_of(&[&green]) }, "x")
            })
            .collect();
        let counts: Vec<(Vec<u64>, usize)> =
            heard(&all).into_iter().map(|(to, lines)| (to, lines.len())).collect();
        assert_eq!(counts, [(vec![1, 2, 3], 200), (vec![4], 100)]);
    }

    #[test]
    fn whoever_is_on_whichever_lists_everyone_hears_what_is_theirs() {
        let mut dice = 1u64;
        let mut below = |bound: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % bound
        };
        for _ in 0..200 {
            // From a few people to many, with lists from the shortest on.
            let people = 1 + below(60);
            let mut some = |share: u64| -> Vec<ConnId> {
                (0..people).filter(|_| below(100) < share).map(ConnId).collect()
            };
            let lists: Vec<Arc<[ConnId]>> = [5, 30, 60, 100].map(|share| some(share).into()).to_vec();
            let all: Vec<Outgoing> = (0..1 + below(100))
                .map(|number| {
                    let to = match below(4) {
                        0 => Audience::One(ConnId(below(people))),
                        1 => Audience::These(
                            (0..people).filter(|_| below(3) == 0).map(ConnId).collect::<Vec<_>>(),
                        ),
                        _ => Audience::AnyOf(lists.iter().filter(|_| below(2) == 0).cloned().collect()),
                    };
                    line(to, &number.to_string())
                })
                .collect();
            let mut each: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            for (to, lines) in heard(&all) {
                for conn in to {
                    assert!(each.insert(conn, lines.clone()).is_none(), "all at once");
                }
            }
            for conn in (0..people).map(ConnId) {
                let theirs = (0..all.len()).filter(|number| all[*number].to.has(conn));
                let expected: Vec<String> = theirs.map(|number| number.to_string()).collect();
                assert_eq!(each.remove(&conn.0).unwrap_or_default(), expected);
            }
            assert!(each.is_empty());
        }
    }
}
