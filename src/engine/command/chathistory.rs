//! CHATHISTORY: what was said before, page by page, and where.

use super::{Command, Who};
use crate::engine::cap::Cap;
use crate::engine::chathistory::{self, Page, Part, Request, Selector};
use crate::engine::gather::{Gather, Gathered};
use crate::engine::history::{Point, Query, Record};
use crate::engine::merge::Stamp;
use crate::engine::reading::Reading;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::Folded;
use crate::wire::standard::Standard;
use crate::wire::time::Timestamp;

pub const COMMANDS: &[Command] = &[Command {
    name: "CHATHISTORY",
    params_min: 0,
    who: Who::Registered,
    run: chathistory,
    usage: "LATEST|BEFORE|AFTER|AROUND <target> *|timestamp=<time>|msgid=<id> <limit> | BETWEEN <target> <one> <other> <limit> | TARGETS <one> <other> <limit>",
    help: "Shows what was said on a channel of yours or between you and a person, or with whom and where something was said.",
}];

/// A moment that was named, and found.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Time(Timestamp),
    Message(Stamp),
}

impl Moment {
    fn point(self) -> Point {
        match self {
            Moment::Time(time) => Point::Time(time),
            Moment::Message(stamp) => Point::Stamp(stamp),
        }
    }

    fn ms(self) -> u64 {
        match self {
            Moment::Time(time) => time.0,
            Moment::Message(stamp) => stamp.ms,
        }
    }

    fn is_before(self, other: Moment) -> bool {
        match (self, other) {
            (Moment::Message(one), Moment::Message(other)) => one <= other,
            _ => self.ms() <= other.ms(),
        }
    }
}

fn chathistory(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (most, is_kept) = (turn.config().history.most_at_once, turn.config().history.enabled);
    let outcome = match chathistory::read(params, most) {
        Ok(Request::Page(page)) if !is_kept => Err(chathistory::not_kept(page.subcommand, &page.target)),
        Ok(Request::Targets { .. }) if !is_kept => Err(chathistory::not_kept("TARGETS", "*")),
        Ok(Request::Page(page)) => show(turn, page),
        Ok(Request::Targets { from, to, limit }) => {
            targets(turn, from, to, limit);
            Ok(())
        }
        Err(why) => Err(why),
    };
    if let Err(why) = outcome {
        turn.fail(why);
    }
    Ok(())
}

fn show(turn: &mut Turn, page: Page) -> Result<(), Standard> {
    let reading = Reading::of_place(turn, &page.target);
    let reading = reading.ok_or_else(|| chathistory::no_such_target(page.subcommand, &page.target))?;
    let selectors = page.part.selectors();
    if let Err(refusal) = find_moments(turn, Search { page, reading, selectors, found: Vec::new() }) {
        turn.refuse(refusal);
    }
    Ok(())
}

/// A page whose moments are being looked up.
struct Search {
    page: Page,
    reading: Reading,
    selectors: Vec<Selector>,
    found: Vec<(Moment, Option<Record>)>,
}

fn find_moments(turn: &mut Turn, mut search: Search) -> Outcome {
    let Some(selector) = search.selectors.get(search.found.len()).copied() else {
        return page_found(turn, search);
    };
    let dot = match selector {
        Selector::Time(time) => {
            search.found.push((Moment::Time(time), None));
            return find_moments(turn, search);
        }
        Selector::Message(dot) => dot,
    };
    turn.recall(Query::Message { dot }, move |turn, answer| {
        let (subcommand, target) = (search.page.subcommand, search.page.target.clone());
        let Ok(mut records) = answer else {
            turn.fail(chathistory::failed(subcommand, &target));
            return Ok(());
        };
        match records.pop().filter(|record| search.reading.knows(record)) {
            Some(record) => {
                search.found.push((Moment::Message(record.stamp()), Some(record)));
                find_moments(turn, search)
            }
            None => {
                turn.fail(chathistory::unknown(subcommand, &target, &dot.to_string()));
                Ok(())
            }
        }
    });
    Ok(())
}

/// Every moment is known: collects the page.
fn page_found(turn: &mut Turn, search: Search) -> Outcome {
    let Search { page, reading, mut found, .. } = search;
    let moments: Vec<Moment> = found.iter().map(|(moment, _)| *moment).collect();
    // Where it is counted from a message there may be something that has come since and was said before it.
    let arrivals: Vec<Option<u64>> =
        found.iter().map(|(_, record)| record.as_ref().map(|record| record.arrival)).collect();
    let earlier = matches!(page.part, Part::Between(..) if !moments[0].is_before(moments[1]));
    let arrived_after = arrivals.get(usize::from(earlier)).copied().flatten();
    let events = turn.wants(Cap::DraftEventPlayback);
    let gather = |after: Option<Moment>, before: Option<Moment>, newest_first| Gather {
        arrived_after: arrived_after.filter(|_| after.is_some()),
        holds: true,
        reading: reading.clone(),
        after: after.map(Moment::point),
        before: before.map(Moment::point),
        newest_first,
        most: page.limit,
        events,
    };
    let first = moments.first().copied();
    let want = match &page.part {
        Part::Latest(_) => gather(first, None, true),
        Part::Before(_) => gather(None, first, true),
        Part::After(_) => gather(first, None, false),
        Part::Around(_) => {
            let itself = found.pop().and_then(|(_, record)| record);
            return around(turn, page, reading, moments[0], itself);
        }
        Part::Between(..) if moments[0].is_before(moments[1]) => gather(first, Some(moments[1]), false),
        Part::Between(..) => gather(Some(moments[1]), first, true),
    };
    turn.gather(want, move |turn, outcome| say(turn, &page, &reading, outcome))
}

/// Half of the page before the moment, and the rest from there on.
fn around(turn: &mut Turn, page: Page, reading: Reading, moment: Moment, itself: Option<Record>) -> Outcome {
    let itself: Vec<Record> = itself.into_iter().filter(|record| reading.shows(turn, record)).collect();
    let want = Gather {
        reading: reading.clone(),
        after: None,
        before: Some(moment.point()),
        newest_first: true,
        most: page.limit / 2,
        events: turn.wants(Cap::DraftEventPlayback),
        arrived_after: None,
        holds: true,
    };
    turn.gather(want, move |turn, outcome| {
        let before = match outcome {
            Ok(before) => before,
            Err(why) => return say(turn, &page, &reading, Err(why)),
        };
        let after = match moment {
            // What was said in that very millisecond counts as after it.
            Moment::Time(time) => Point::Time(Timestamp(time.0.saturating_sub(1))),
            Moment::Message(stamp) => Point::Stamp(stamp),
        };
        let most = page.limit - before.records.len() - itself.len();
        let want = Gather {
            reading: reading.clone(),
            after: Some(after),
            before: None,
            newest_first: false,
            most,
            events: turn.wants(Cap::DraftEventPlayback),
            arrived_after: None,
            holds: true,
        };
        turn.gather(want, move |turn, outcome| {
            let outcome = outcome.map(|after| Gathered {
                is_all: before.is_all && after.is_all,
                records: before.records.into_iter().chain(itself).chain(after.records).collect(),
            });
            say(turn, &page, &reading, outcome)
        })
    })
}

fn say(turn: &mut Turn, page: &Page, reading: &Reading, outcome: Result<Gathered, String>) -> Outcome {
    match outcome {
        Ok(Gathered { records, is_all }) => {
            let kind = format!("chathistory {}", reading.shown);
            turn.batched(&kind, is_all, |turn| turn.play(records.iter().map(Record::change)));
        }
        Err(_) => turn.fail(chathistory::failed(page.subcommand, &page.target)),
    }
    Ok(())
}

/// Where something was said between two moments, by when the latest of it was.
fn targets(turn: &mut Turn, from: Timestamp, to: Timestamp, limit: usize) {
    let channels: Vec<Folded> = turn.user().channels.iter().cloned().collect();
    let (earlier, later) = if from <= to { (from, to) } else { (to, from) };
    let query = turn.targets_of(channels, Some(Point::Time(earlier)));
    turn.recall(query, move |turn, answer| {
        let Ok(records) = answer else {
            turn.fail(chathistory::failed("TARGETS", "*"));
            return Ok(());
        };
        let mut places = turn.names_of_places(records);
        places.retain(|(_, time)| earlier < *time && *time < later);
        let beyond = places.len().saturating_sub(limit);
        match from <= to {
            true => places.truncate(limit),
            false => drop(places.drain(..beyond)),
        }
        let is_end = beyond == 0;
        turn.batched("draft/chathistory-targets", is_end, |turn| {
            for (name, time) in places {
                turn.say(format!(":{} CHATHISTORY TARGETS {name} {time}", turn.server_name()));
            }
        });
        Ok(())
    });
}
