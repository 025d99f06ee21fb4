//! Many lines for many people, as when a network splits: told for each person at once instead of line by line, so that
//! it costs as much as there are lines and people, and not as much as one times the other.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

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

/// By what somebody hears which lines: lists that they are on, and lines that are for them alone.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Hearing {
    lists: Vec<u32>,
    lines: Vec<u32>,
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
    let mut lists: BTreeMap<*const ConnId, (u32, &[ConnId])> = BTreeMap::new();
    let mut of_lists: Vec<Bits> = Vec::new();
    let mut hearers: BTreeMap<ConnId, Hearing> = BTreeMap::new();
    for (place, outgoing) in all.iter().enumerate() {
        let mut hears = |conn: ConnId| hearers.entry(conn).or_default().lines.push(place as u32);
        match &outgoing.to {
            Audience::One(conn) => hears(*conn),
            Audience::These(conns) => conns.iter().copied().for_each(hears),
            Audience::AnyOf(any) => {
                for list in any.iter().filter(|list| !list.is_empty()) {
                    let (number, _) = *lists.entry(list.as_ptr()).or_insert((of_lists.len() as u32, list));
                    if number as usize == of_lists.len() {
                        of_lists.push(Bits::none(all.len()));
                    }
                    of_lists[number as usize].set(place);
                }
            }
        }
    }
    let mut in_order: Vec<(u32, &[ConnId])> = lists.into_values().collect();
    in_order.sort_unstable_by_key(|(number, _)| *number);
    for (number, list) in in_order {
        list.iter().for_each(|conn| hearers.entry(*conn).or_default().lists.push(number));
    }
    let mut alike: BTreeMap<(Caps, Hearing), Vec<ConnId>> = BTreeMap::new();
    for (conn, hearing) in hearers {
        alike.entry((sessions.tags_of(conn), hearing)).or_default().push(conn);
    }
    let mut forms: Vec<Form> = Vec::new();
    for ((caps, hearing), conns) in alike {
        let mut which = Bits::none(all.len());
        hearing.lists.iter().for_each(|number| which.add(&of_lists[*number as usize]));
        hearing.lines.iter().for_each(|place| which.set(*place as usize));
        if forms.last().is_none_or(|form| form.caps != caps) {
            forms.push(Form { caps, hearers: BTreeMap::new() });
        }
        let form = forms.last_mut().expect("there is one by now");
        form.hearers.entry(which).or_default().extend(conns);
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
}
