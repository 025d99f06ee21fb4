//! What waits for the router: a lane for those who keep within their bounds, one for those who do not, and one for what
//! peers bring by the hundred, as when a server that was away gets what it has missed.
//!
//! Whatever stands in the prompt lane is taken first, all of it at once; of the others one event at a time, in between.
//! A connection changes lanes only while nothing of it waits (`Shared::tell_of`), so its own order holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::engine::Event;

/// How many events may wait in a lane before those who send them have to wait too.
const WAITING_MAX: usize = 4096;

/// Which events go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Prompt,
    Patient,
    /// Of peers, where they bring much at once.
    Burst,
}

impl Lane {
    const ALL: [Lane; 3] = [Lane::Prompt, Lane::Patient, Lane::Burst];
}

/// For those who tell the router.
#[derive(Clone)]
pub struct Inbox(Arc<Waiting>);

/// For the router; once it is dropped, nothing waits any more and nobody is kept waiting.
pub struct InboxReader(Arc<Waiting>);

/// An inbox, and the one place to read it from.
pub fn inbox() -> (Inbox, InboxReader) {
    let waiting = Arc::new(Waiting::default());
    (Inbox(waiting.clone()), InboxReader(waiting))
}

#[derive(Default)]
struct Waiting {
    lanes: Mutex<Lanes>,
    filled: Condvar,
    prompt_emptied: Condvar,
    patient_emptied: Condvar,
    burst_emptied: Condvar,
}

impl Waiting {
    fn emptied(&self, lane: Lane) -> &Condvar {
        match lane {
            Lane::Prompt => &self.prompt_emptied,
            Lane::Patient => &self.patient_emptied,
            Lane::Burst => &self.burst_emptied,
        }
    }

    /// Wakes as many of those who wait for room in a lane as there is some for now.
    fn make_room(&self, lane: Lane, crowd: usize, places: usize) {
        for _ in 0..places.min(crowd) {
            self.emptied(lane).notify_one();
        }
    }
}

#[derive(Default)]
struct Lanes {
    prompt: Queue,
    patient: Queue,
    burst: Queue,
    /// The router sleeps: whoever brings something wakes it, once.
    is_awaited: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    /// How many wait for room.
    crowd: usize,
}

impl Lanes {
    fn lane(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Prompt => &mut self.prompt,
            Lane::Patient => &mut self.patient,
            Lane::Burst => &mut self.burst,
        }
    }

    fn is_empty(&self) -> bool {
        [&self.prompt, &self.patient, &self.burst].iter().all(|queue| queue.events.is_empty())
    }
}

impl Inbox {
    /// Blocks while the lane is full.
    pub fn put(&self, lane: Lane, event: Event) {
        let waiting = &*self.0;
        let mut lanes = waiting.lanes.lock();
        while lanes.lane(lane).events.len() >= WAITING_MAX && !lanes.is_closed {
            lanes.lane(lane).crowd += 1;
            waiting.emptied(lane).wait(&mut lanes);
            lanes.lane(lane).crowd -= 1;
        }
        if lanes.is_closed {
            return;
        }
        lanes.lane(lane).events.push_back(event);
        let is_awaited = std::mem::take(&mut lanes.is_awaited);
        drop(lanes);
        if is_awaited {
            waiting.filled.notify_one();
        }
    }
}

impl InboxReader {
    /// Waits until something is there, or the time has come.
    pub fn wait(&self, deadline: Instant) {
        let mut lanes = self.0.lanes.lock();
        while lanes.is_empty() {
            lanes.is_awaited = true;
            if self.0.filled.wait_until(&mut lanes, deadline).timed_out() {
                lanes.is_awaited = false;
                return;
            }
        }
    }

    /// All that is prompt, where nothing of it is left from before; else nothing.
    pub fn take_prompt(&self, left: &mut VecDeque<Event>) {
        if left.is_empty() {
            let mut lanes = self.0.lanes.lock();
            std::mem::swap(&mut lanes.prompt.events, left);
            self.0.make_room(Lane::Prompt, lanes.prompt.crowd, left.len());
        }
    }

    /// The next of a lane that is not.
    pub fn take(&self, lane: Lane) -> Option<Event> {
        let mut lanes = self.0.lanes.lock();
        let queue = lanes.lane(lane);
        let event = queue.events.pop_front();
        self.0.make_room(lane, queue.crowd, usize::from(event.is_some()));
        event
    }

    pub fn is_empty(&self) -> bool {
        self.0.lanes.lock().is_empty()
    }
}

/// For tests, which read an inbox as any channel.
#[cfg(test)]
impl InboxReader {
    pub fn try_recv(&self) -> Result<Event, Empty> {
        let mut lanes = self.0.lanes.lock();
        let mut next = Lane::ALL.into_iter().filter_map(|lane| lanes.lane(lane).events.pop_front());
        next.next().ok_or(Empty)
    }

    pub fn recv_timeout(&self, time: std::time::Duration) -> Result<Event, Empty> {
        self.wait(Instant::now() + time);
        self.try_recv()
    }
}

/// Nothing has come.
#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
pub struct Empty;

impl Drop for InboxReader {
    fn drop(&mut self) {
        let mut lanes = self.0.lanes.lock();
        lanes.is_closed = true;
        for lane in Lane::ALL {
            lanes.lane(lane).events = VecDeque::new();
            self.0.emptied(lane).notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::engine::ConnId;

    fn event(number: u64) -> Event {
        Event::Closed { conn: ConnId(number), why: String::new() }
    }

    fn number(event: Option<Event>) -> Option<u64> {
        match event? {
            Event::Closed { conn, .. } => Some(conn.0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_prompt_are_taken_together_and_the_patient_one_by_one() {
        let (inbox, reader) = inbox();
        for (lane, number) in [(Lane::Patient, 1), (Lane::Prompt, 2), (Lane::Patient, 3), (Lane::Prompt, 4)] {
            inbox.put(lane, event(number));
        }
        let mut taken = VecDeque::new();
        reader.take_prompt(&mut taken);
        inbox.put(Lane::Prompt, event(5));
        // What is left over comes before what came since.
        reader.take_prompt(&mut taken);
        assert_eq!(taken.drain(..).map(|event| number(Some(event))).collect::<Vec<_>>(), [Some(2), Some(4)]);
        assert_eq!(number(reader.take(Lane::Patient)), Some(1));
        assert_eq!((number(reader.try_recv().ok()), number(reader.try_recv().ok())), (Some(5), Some(3)));
        assert!(reader.is_empty() && reader.take(Lane::Patient).is_none());
    }

    #[test]
    fn a_full_lane_holds_up_those_who_fill_it_and_nobody_else() {
        let (inbox, reader) = inbox();
        (0..WAITING_MAX as u64).for_each(|number| inbox.put(Lane::Patient, event(number)));
        let held = [1, 2].map(|number| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.put(Lane::Patient, event(u64::MAX - number)))
        });
        inbox.put(Lane::Prompt, event(7));
        let crowd = || reader.0.lanes.lock().patient.crowd;
        while crowd() < 2 {
            thread::yield_now();
        }
        // What is taken of the other lane is no room in this one.
        reader.take_prompt(&mut VecDeque::new());
        assert_eq!(crowd(), 2);
        // One place is for one of them.
        assert_eq!(number(reader.take(Lane::Patient)), Some(0));
        while crowd() == 2 {
            thread::yield_now();
        }
        assert_eq!(reader.0.lanes.lock().patient.events.len(), WAITING_MAX);
        assert_eq!(number(reader.take(Lane::Patient)), Some(1));
        held.into_iter().for_each(|held| held.join().unwrap());
        assert_eq!(reader.0.lanes.lock().patient.events.len(), WAITING_MAX);
    }

    #[test]
    fn whoever_waits_is_woken_by_either_lane_and_by_the_end() {
        for lane in [Lane::Prompt, Lane::Patient] {
            let (inbox, reader) = inbox();
            let waits = thread::spawn(move || number(reader.recv_timeout(Duration::from_secs(60)).ok()));
            inbox.put(lane, event(1));
            assert_eq!(waits.join().unwrap(), Some(1));
            // The reader is gone: nothing is kept, and nobody waits.
            (0..=WAITING_MAX as u64).for_each(|number| inbox.put(lane, event(number)));
            assert!(inbox.0.lanes.lock().is_empty());
        }
        let (_inbox, reader) = inbox();
        let started = Instant::now();
        reader.wait(started + Duration::from_millis(5));
        assert!(started.elapsed() >= Duration::from_millis(5));
    }
}
