//! How a page of the past is collected: from the store in as many rounds as it takes, since not all of it is for the reader.

use super::chronicle::Answer;
use super::effect::Effect;
use super::history::{Point, Query, Record};
use super::reading::Reading;
use super::turn::{Outcome, Turn};

/// How often the store is asked again for one page, where much of what it has is not for the reader. On a channel that
/// hides its members it may be nearly all of it: with each round being more than the one before, that is 70,000 events
/// between the reader and what was said before them.
const ROUNDS_MAX: usize = 20;

/// So much is asked for at once at least, though less is wanted: some of it may not be for the reader; and at most.
const ROUND_MIN: usize = 100;
const ROUND_MAX: usize = 5_000;

/// What a client is sent with each line beside its text, and a little more.
const LINE_OVERHEAD_BYTES: usize = 300;

/// In so many places it is remembered what of them came late and was shown.
const LATE_PLACES_MAX: usize = 1_000;

/// Some of what was said in a place, to be collected from the store.
#[derive(Clone, Debug)]
pub struct Gather {
    pub reading: Reading,
    pub after: Option<Point>,
    pub before: Option<Point>,
    /// Whether the latest counts where there is more than is wanted.
    pub newest_first: bool,
    pub most: usize,
    /// Whether what is no text counts as well.
    pub events: bool,
    /// In which order the message came here that is counted from: what came after it counts as well, though it was said
    /// before it, and comes first.
    pub arrived_after: Option<u64>,
    /// Whether what the client says meanwhile waits until this is there.
    pub holds: bool,
}

/// What was found, oldest first.
#[derive(Debug)]
pub struct Gathered {
    pub records: Vec<Record>,
    /// Whether there is no more of it.
    pub is_all: bool,
}

/// What is done with it.
type Then = Box<dyn FnOnce(&mut Turn, Result<Gathered, String>) -> Outcome + Send + Sync>;

/// A page while it is collected.
struct Collection {
    want: Gather,
    /// Which of the place's conversations is being asked for.
    place: usize,
    rounds: usize,
    /// What is left of the range that the store has not shown yet.
    after: Option<Point>,
    before: Option<Point>,
    found: Vec<Record>,
    all: Vec<Record>,
    /// What came late.
    late: Vec<Record>,
    is_all: bool,
    then: Then,
}

impl Turn<'_> {
    /// Collects what the speaker may read; what is not for them does not count.
    pub fn gather(
        &mut self,
        want: Gather,
        then: impl FnOnce(&mut Turn, Result<Gathered, String>) -> Outcome + Send + Sync + 'static,
    ) -> Outcome {
        let collection = Collection {
            after: want.after.clone(),
            before: want.before.clone(),
            want,
            place: 0,
            rounds: 0,
            found: Vec::new(),
            all: Vec::new(),
            late: Vec::new(),
            is_all: true,
            then: Box::new(then),
        };
        collection.begin(self)
    }
}

impl Collection {
    /// Asks for what came late, and then for everything else.
    fn begin(mut self, turn: &mut Turn) -> Outcome {
        let next = self.want.reading.conversations.get(self.place).cloned();
        let (Some(target), Some(arrival), Some(before)) = (next, self.want.arrived_after, &self.want.after)
        else {
            self.place = 0;
            return self.go_on(turn);
        };
        // Once is enough, or there would be no end to paging through it.
        let shown = turn.session().late_shown.get(&self.want.reading.shown).copied().unwrap_or(0);
        let query = Query::Late {
            target,
            arrived_after: arrival.max(shown),
            before: before.clone(),
            most: self.late_max() + 1,
        };
        turn.recall_holding(self.want.holds, query, move |turn, answer| {
            self.late.extend(answer.unwrap_or_default());
            self.place += 1;
            self.begin(turn)
        });
        Ok(())
    }

    /// Half of the page at most, so that there is room for what was asked for.
    fn late_max(&self) -> usize {
        self.want.most.div_ceil(2)
    }

    /// Notes how far the speaker has been shown what came late.
    fn settle_late(&mut self, turn: &mut Turn) {
        self.late.sort_by_key(|record| record.arrival);
        if self.late.len() > self.late_max() {
            self.late.truncate(self.late_max());
            self.is_all = false;
        }
        if let Some(last) = self.late.last() {
            let (place, arrival) = (self.want.reading.shown.clone(), last.arrival);
            let shown = &mut turn.session_mut().late_shown;
            if shown.len() >= LATE_PLACES_MAX {
                shown.clear();
            }
            shown.insert(place, arrival);
        }
        self.late.retain(|record| self.want.reading.shows(turn, record));
    }

    fn go_on(self, turn: &mut Turn) -> Outcome {
        let Some(target) = self.want.reading.conversations.get(self.place).cloned() else {
            return self.finish(turn);
        };
        // One more than is wanted, to know whether there is more.
        let most = (self.want.most - self.found.len() + 1).max(ROUND_MIN);
        let most = most.saturating_mul(1 << self.rounds.min(8)).min(ROUND_MAX.max(self.want.most + 1));
        if self.rounds > 0 {
            // It is as much work as to be asked again.
            turn.engine.effects.push(Effect::Charge { conn: turn.conn, lines: 1 });
        }
        let kept_since = turn.kept_since();
        let is_kept = |point: &Point| match point {
            Point::Time(time) => *time >= kept_since,
            Point::Stamp(stamp) => stamp.ms >= kept_since.0,
            Point::Dot(_) => true,
        };
        let query = Query::Between {
            target,
            after: self.after.clone().filter(is_kept).or(Some(Point::Time(kept_since))),
            before: self.before.clone(),
            newest_first: self.want.newest_first,
            most,
            events: self.want.events,
        };
        let holds = self.want.holds;
        turn.recall_holding(holds, query, move |turn, answer| self.take(turn, most, answer));
        Ok(())
    }

    fn take(mut self, turn: &mut Turn, most: usize, answer: Answer) -> Outcome {
        let records = match answer {
            Ok(records) => records,
            Err(why) => return (self.then)(turn, Err(why)),
        };
        let is_end = records.len() < most;
        let edge = if self.want.newest_first { records.first() } else { records.last() };
        let edge = edge.map(|record| Point::Stamp(record.stamp()));
        if self.want.newest_first {
            self.before = edge.or(self.before);
        } else {
            self.after = edge.or(self.after);
        }
        let shown = records.into_iter().filter(|record| self.want.reading.shows(turn, record));
        if self.want.newest_first {
            self.found = shown.chain(std::mem::take(&mut self.found)).collect();
        } else {
            self.found.extend(shown);
        }
        self.rounds += 1;
        let is_enough = self.found.len() > self.want.most;
        if !is_end && !is_enough && self.rounds < ROUNDS_MAX {
            return self.go_on(turn);
        }
        self.is_all &= is_end;
        self.all.append(&mut self.found);
        (self.after, self.before) = (self.want.after.clone(), self.want.before.clone());
        self.place += 1;
        self.rounds = 0;
        self.go_on(turn)
    }

    /// Leaves out what there is no room for in what may wait for a client: messages of many lines are long.
    fn fit(&mut self, room: usize) {
        let mut left = room;
        let mut has_room = |record: &Record| {
            let lines = record.message().map_or(1, |message| message.pieces().count());
            let bytes = record.line().len() + lines * LINE_OVERHEAD_BYTES;
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        };
        let count = self.all.len();
        let fitting = match self.want.newest_first {
            true => self.all.iter().rev().take_while(|record| has_room(record)).count(),
            false => self.all.iter().take_while(|record| has_room(record)).count(),
        };
        let beyond = count - fitting.max(1).min(count);
        self.is_all &= beyond == 0;
        match self.want.newest_first {
            true => drop(self.all.drain(..beyond)),
            false => self.all.truncate(count - beyond),
        }
    }

    fn finish(mut self, turn: &mut Turn) -> Outcome {
        self.settle_late(turn);
        self.all.sort_by_key(Record::stamp);
        self.all.dedup_by_key(|record| record.dot());
        let room = self.want.most - self.late.len();
        let beyond = self.all.len().saturating_sub(room);
        if beyond > 0 {
            self.is_all = false;
            match self.want.newest_first {
                true => drop(self.all.drain(..beyond)),
                false => self.all.truncate(room),
            }
        }
        self.fit(turn.config().limits.send_queue / 2);
        self.all.append(&mut self.late);
        self.all.sort_by_key(Record::stamp);
        (self.then)(turn, Ok(Gathered { records: self.all, is_all: self.is_all }))
    }
}
