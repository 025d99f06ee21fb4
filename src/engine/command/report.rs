//! REPORT and REPORTS: telling those who run the network of somebody, and what they were told.

use super::{Command, Who};
use crate::engine::gather::Gather;
use crate::engine::history::{Point, Query, Record};
use crate::engine::merge::{Dot, Stamp, Stream};
use crate::engine::network::{Complaint, Edit, Message, Party, Target, Verb, beyond};
use crate::engine::reading::Reading;
use crate::engine::throttle::Deed;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::{cut, without_line_ends};
use crate::wire::names::Word;
use crate::wire::numeric;
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "REPORT",
        params_min: 2,
        who: Who::Registered,
        run: report,
        usage: "<nick>|<msgid> :<reason>",
        help: "Tells the operators of this network of somebody, or of something that was said, with the last that you could read there. They see who told them; whom it is about does not.",
    },
    Command {
        name: "REPORTS",
        params_min: 0,
        who: Who::Operator("reports"),
        run: reports,
        usage: "[<id> | DEL <id>]",
        help: "Lists what people have told operators by REPORT; shows one with what was said there, or closes it.",
    },
];

/// So many lines of what was said go with a report, and so much of each.
const CONTEXT_LINES: usize = 10;
const CONTEXT_LINE_BYTES_MAX: usize = 300;
/// So much of why.
const REASON_BYTES_MAX: usize = 300;

/// So many are kept; whoever runs a network should have closed the others.
const COMPLAINTS_MAX: usize = 200;

/// So many are listed at once, the latest.
const LISTED_MAX: usize = 50;

/// What is reported, and where it was.
struct Subject {
    about: Party,
    place: Option<String>,
}

fn fail(code: &'static str, about: &str, why: &str) -> Standard {
    Standard::fail("REPORT", code, why).about(Word::echo(about))
}

fn report(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (whom, reason) = (params[0], cut(params[1].trim(), REASON_BYTES_MAX));
    if reason.is_empty() {
        return Err(numeric::need_more_params(Word::echo("REPORT")).into());
    }
    if let Err(seconds) = turn.may(Deed::Report) {
        let why = "You have reported enough for now, try again later";
        turn.fail(fail("RATE_LIMITED", whom, why).about(Word::echo(&seconds.to_string())));
        return Ok(());
    }
    turn.did(Deed::Report);
    match Dot::parse(whom).filter(|dot| dot.stream == Stream::Message) {
        Some(dot) => report_message(turn, dot, reason.to_string()),
        None => report_person(turn, whom, reason.to_string()),
    }
}

fn report_person(turn: &mut Turn, nick: &str, reason: String) -> Outcome {
    let user = turn.user_called(nick)?;
    let about = Party { source: user.prefix(), account: user.account.clone() };
    let reading = Reading::of_person(turn, nick);
    with_context(turn, reading, None, Subject { about, place: None }, reason)
}

fn report_message(turn: &mut Turn, dot: Dot, reason: String) -> Outcome {
    turn.recall(Query::Message { dot }, move |turn, answer| {
        let found = answer.ok().and_then(|mut records| records.pop());
        let place = found.as_ref().and_then(|record| Some((record, turn.name_of_place(record)?)));
        let known = place.and_then(|(record, name)| Some((record.message()?.clone(), name)));
        let (Some((message, name)), Some(record)) = (known, &found) else {
            turn.fail(fail(
                "UNKNOWN_MSGID",
                &dot.to_string(),
                "There is no such message, or it was too long ago",
            ));
            return Ok(());
        };
        let about = Party { source: message.source.clone(), account: message.account.clone() };
        let reading = Reading::of_place(turn, &name);
        let place = matches!(message.target, Target::Channel { .. }).then_some(name);
        let subject = Subject { about, place };
        match reading {
            Some(reading) => with_context(turn, reading, Some(record.clone()), subject, reason),
            // By a name that nobody can have here there is no more to be found than the message itself.
            None => file(turn, subject, reason, in_words(&message).into_iter().collect()),
        }
    });
    Ok(())
}

/// Goes on with the last that was said in a place: before a message and with it, where it is about one.
fn with_context(
    turn: &mut Turn,
    reading: Reading,
    message: Option<Record>,
    subject: Subject,
    reason: String,
) -> Outcome {
    let want = Gather {
        reading,
        after: None,
        before: message.as_ref().map(|record| Point::Stamp(record.stamp())),
        newest_first: true,
        most: CONTEXT_LINES - message.iter().count(),
        events: false,
        arrived_after: None,
        holds: true,
    };
    turn.gather(want, move |turn, outcome| {
        // A report counts also where nothing is kept of what was said, or the disk is at fault.
        let before = outcome.map(|gathered| gathered.records).unwrap_or_default();
        let context = before.iter().chain(&message).filter_map(Record::message).filter_map(in_words);
        let context = context.collect();
        file(turn, subject, reason, context)
    })
}

/// One line of it, as a person reads it.
fn in_words(message: &Message) -> Option<String> {
    let nick = message.source.split('!').next().unwrap_or_default();
    let text = message.text.replace(['\r', '\n'], " / ").replace(char::is_control, "");
    let line = match message.verb {
        Verb::Privmsg => format!("<{nick}> {text}"),
        Verb::Notice => format!("-{nick}- {text}"),
        Verb::Tagmsg => return None,
    };
    Some(cut(&line, CONTEXT_LINE_BYTES_MAX).to_string())
}

fn file(turn: &mut Turn, subject: Subject, reason: String, context: Vec<String>) -> Outcome {
    let by = turn.prefix();
    let party = Party { source: by.clone(), account: turn.user().account.clone() };
    let beyond = beyond(&turn.network().complaints(), &party, COMPLAINTS_MAX);
    // It is nobody's wish that they go, and least of all that of whoever reports something else.
    let server = turn.server_name().to_string();
    for id in beyond {
        turn.change(Edit::Complaint { id, fact: None, by: server.clone() });
    }
    let id = turn.stamp();
    let complaint = Complaint {
        made: turn.now.wall,
        by: party,
        about: subject.about,
        place: subject.place,
        reason,
        context,
    };
    turn.change(Edit::Complaint { id, fact: Some(Box::new(complaint)), by });
    let note = Standard::note("REPORT", "RECEIVED", "Your report is with the operators of this network");
    turn.fail(note.about(Word::echo(&id.to_string())));
    Ok(())
}

fn reports(turn: &mut Turn, params: &[&str]) -> Outcome {
    match params {
        [] => list(turn),
        [del, id, ..] if del.eq_ignore_ascii_case("DEL") => return close(turn, id),
        [id, ..] => return show(turn, id),
    }
    Ok(())
}

fn list(turn: &mut Turn) {
    let all = turn.network().complaints();
    let count = all.len();
    let shown = all.into_iter().skip(count.saturating_sub(LISTED_MAX));
    let lines: Vec<String> = shown.map(|(id, complaint)| in_short(id, complaint)).collect();
    lines.iter().for_each(|line| turn.notice(line));
    let count = if count == 1 { "1 report".to_string() } else { format!("{count} reports") };
    turn.notice(&format!("{count}. REPORTS <id> shows what was said there."));
}

fn in_short(id: Stamp, complaint: &Complaint) -> String {
    format!("{} {}: {}", complaint.made, in_words_of(id, complaint), complaint.reason)
}

/// Who reports whom.
pub fn in_words_of(id: Stamp, complaint: &Complaint) -> String {
    let place = complaint.place.as_deref().unwrap_or("private");
    let (by, about) = (named(&complaint.by), named(&complaint.about));
    format!("Report {id} of {about} in {place} by {by}")
}

fn named(party: &Party) -> String {
    match &party.account {
        Some(account) => format!("{} (account {account})", party.source),
        None => party.source.clone(),
    }
}

/// One that is there, by its id.
fn find(turn: &Turn, id: &str) -> Result<Stamp, Standard> {
    let known = Stamp::parse(id).filter(|id| turn.network().complaint(*id).is_some());
    known.ok_or_else(|| {
        Standard::fail("REPORTS", "UNKNOWN_REPORT", "There is no such report, or it was closed")
            .about(Word::echo(id))
    })
}

fn show(turn: &mut Turn, id: &str) -> Outcome {
    let id = find(turn, id)?;
    let Some(complaint) = turn.network().complaint(id).cloned() else { return Ok(()) };
    turn.notice(&format!("{} {}", complaint.made, in_words_of(id, &complaint)));
    // Another server has told it, whatever is in it.
    turn.notice(&without_line_ends(format!("Reason: {}", complaint.reason)));
    for line in &complaint.context {
        turn.notice(&without_line_ends(format!("  {line}")));
    }
    if complaint.context.is_empty() {
        turn.notice("  Nothing is known of what was said there.");
    }
    Ok(())
}

fn close(turn: &mut Turn, id: &str) -> Outcome {
    let id = find(turn, id)?;
    let by = turn.prefix();
    turn.change(Edit::Complaint { id, fact: None, by });
    Ok(())
}
