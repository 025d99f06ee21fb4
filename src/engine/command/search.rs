//! SEARCH: what somebody may read of the past, found by its words, by who said it, where and when.

use super::{Command, Who};
use crate::engine::cap::Cap;
use crate::engine::history::{Point, Query, Record, Sought};
use crate::engine::reading::{Reading, Readings};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::{Folded, fold};
use crate::wire::message::unescape_tag_value;
use crate::wire::names::Word;
use crate::wire::standard::Standard;
use crate::wire::time::Timestamp;

pub const COMMANDS: &[Command] = &[Command {
    name: "SEARCH",
    params_min: 0,
    who: Who::Registered,
    run: search,
    usage: "[text=<words>][;in=<target>][;from=<nick>][;after=<time>][;before=<time>][;limit=<number>]",
    help: "Finds what was said on your channels and between you and others, by up to 8 words (\\s for a space) of those said lately, place, person and time.",
}];

/// More words than anybody remembers of what was said.
const WORDS_MAX: usize = 8;

/// Of words with fewer letters only the whole word is found: with so few begins half of what was ever said.
const BEGINNING_CHARS_MIN: usize = 3;

/// From here on a sign is a word, or most of one.
const IDEOGRAPHS: char = '\u{2e80}';

/// So many more are looked for than are wanted, since some of them may not be for the speaker.
const SPARE: usize = 50;

/// Said where the store could not look at all that was said with the words.
const INCOMPLETE: &str =
    "Too much was said with these words: only what came last was looked at. More words find more";

/// What is wanted, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    words: Vec<Sought>,
    place: Option<String>,
    from: Option<Folded>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    limit: Option<usize>,
}

fn invalid(given: &str, why: &str) -> Standard {
    Standard::fail("SEARCH", "INVALID_PARAMS", why).about(Word::echo(given))
}

impl Wanted {
    fn read(attributes: &str) -> Result<Wanted, Standard> {
        let mut wanted = Wanted::default();
        for attribute in attributes.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = unescape_tag_value(value);
            let time = || {
                let time = Timestamp::parse(&value);
                time.ok_or_else(|| invalid(attribute, "That is no time, such as 2026-11-21T06:56:05.123Z"))
            };
            match name {
                "text" => wanted.words = words(&value),
                "in" => wanted.place = Some(value.into_owned()),
                "from" => wanted.from = Some(fold(&value)),
                "after" => wanted.after = Some(time()?),
                "before" => wanted.before = Some(time()?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    let limit = limit.ok_or_else(|| invalid(attribute, "The limit is a number"))?;
                    wanted.limit = Some(limit);
                }
                _ => return Err(invalid(name, "Nothing can be found by that")),
            }
            if name == "text" && wanted.words.is_empty() {
                return Err(invalid(attribute, "There are no words in that"));
            }
            if wanted.words.len() > WORDS_MAX {
                return Err(invalid(attribute, "There are too many words in that"));
            }
        }
        match wanted == Wanted::default() {
            true => Err(Standard::fail("SEARCH", "INVALID_PARAMS", "What is to be found?")),
            false => Ok(wanted),
        }
    }
}

/// The words of a text, as they are found: by their beginnings, in any order, whatever stands between them.
fn words(text: &str) -> Vec<Sought> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let sought = words.map(|word| Sought {
        word: word.to_string(),
        is_beginning: word.chars().count() >= BEGINNING_CHARS_MIN || word.chars().any(|c| c >= IDEOGRAPHS),
    });
    sought.collect()
}

fn search(turn: &mut Turn, params: &[&str]) -> Outcome {
    let wanted = match Wanted::read(&params.join(" ")) {
        Ok(wanted) => wanted,
        Err(why) => {
            turn.fail(why);
            return Ok(());
        }
    };
    if !turn.config().history.enabled {
        let text = "This server keeps nothing of what is said";
        turn.fail(Standard::fail("SEARCH", "INTERNAL_ERROR", text));
        return Ok(());
    }
    turn.search("SEARCH")?;
    let readings = match &wanted.place {
        None => Readings::of_all(turn),
        // Where there is nothing to be read nothing is found, whether or not there is such a place.
        Some(name) => Readings::of(Reading::of_place(turn, name)),
    };
    let most = turn.config().history.most_at_once;
    let most = wanted.limit.unwrap_or(most).min(most);
    // Times are included.
    let after = wanted.after.map(|time| Point::Time(Timestamp(time.0.saturating_sub(1))));
    let before = wanted.before.map(|time| Point::Time(Timestamp(time.0 + 1)));
    let newest_first = wanted.after.is_none();
    let query = Query::Search {
        words: wanted.words,
        places: readings.conversations(),
        parties: readings.parties().to_vec(),
        from: wanted.from,
        after,
        before,
        newest_first,
        most: most + SPARE,
    };
    turn.recall(query, move |turn, answer| {
        let Ok(mut found) = answer else {
            turn.fail(Standard::fail("SEARCH", "INTERNAL_ERROR", "The search could not be run"));
            return Ok(());
        };
        found.retain(|record| readings.shows(turn, record));
        let beyond = found.len().saturating_sub(most);
        match newest_first {
            true => drop(found.drain(..beyond)),
            false => found.truncate(most),
        }
        let kind = if turn.wants(Cap::SojuSearch) { "soju.im/search" } else { "draft/search" };
        // Of the latest a full page is all that was asked for, whatever else there is.
        let is_incomplete = turn.is_answer_cut() && (!newest_first || found.len() < most);
        if is_incomplete {
            turn.reply_standard(Standard::note("SEARCH", "INCOMPLETE", INCOMPLETE));
        }
        turn.batched(kind, false, |turn| turn.play(found.iter().map(Record::change)));
        Ok(())
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: SEARCH
    #[test]
    fn what_is_wanted_is_read_from_attributes() {
        let wanted = Wanted::read("text=to\\sbe\\:or;in=#green;from=Bob;limit=5").unwrap();
        assert_eq!(wanted.words, words("to be or"));
        assert_eq!((wanted.place.as_deref(), wanted.limit), (Some("#green"), Some(5)));
        assert_eq!(wanted.from, Some(fold("bob")));
        let wanted = Wanted::read("after=1970-01-01T00:00:01.000Z;before=1970-01-01T00:00:02.000Z").unwrap();
        assert_eq!((wanted.after, wanted.before), (Some(Timestamp(1000)), Some(Timestamp(2000))));
        let nine = format!("text={}", "hay\\s".repeat(9));
        for senseless in
            [&nine, "", ";", "text=", "text=\\s!", "limit=0", "limit=x", "after=soon", "colour=red"]
        {
            assert!(Wanted::read(senseless).is_err(), "{senseless}");
        }
    }

    #[test]
    fn words_are_made_of_letters_and_digits_of_any_language() {
        let found = words("Ça va, 世界! a\"b* OR-NOT");
        let found: Vec<(&str, bool)> =
            found.iter().map(|sought| (sought.word.as_str(), sought.is_beginning)).collect();
        let whole = ["Ça", "va", "a", "b", "OR"].map(|word| (word, false));
        let beginnings = [("世界", true), ("NOT", true)];
        assert_eq!(found, [whole[0], whole[1], beginnings[0], whole[2], whole[3], whole[4], beginnings[1]]);
    }
}
