//! What the player of transcripts must do, told by stories that it is wrong about.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::support::pattern::Values;
use crate::support::play::{bless, check};
use crate::support::script;
use crate::support::stage::{Door, Heard, Outcome, Stage};

/// A stage on which nothing happens but what was laid out for each `hear`.
struct Echo(VecDeque<Vec<(&'static str, &'static str)>>);

impl Stage for Echo {
    fn configure(&mut self, _: &str, _: &toml::Table) -> Outcome {
        Ok(())
    }
    fn start(&mut self, _: &str) -> Outcome {
        Ok(())
    }
    fn stop(&mut self, _: &str) -> Outcome {
        Err("hall cannot be stopped".to_string())
    }
    fn kill(&mut self, _: &str) -> Outcome {
        Ok(())
    }
    fn link(&mut self, _: &str, _: &str) -> Outcome {
        Ok(())
    }
    fn cut(&mut self, _: &str, _: &str) -> Outcome {
        Ok(())
    }
    fn split(&mut self, _: &str, _: &str) -> Outcome {
        Ok(())
    }
    fn connect(&mut self, _: &str, _: &str, _: Door) -> Outcome {
        Ok(())
    }
    fn say(&mut self, _: &str, _: &[u8]) -> Outcome {
        Ok(())
    }
    fn hang_up(&mut self, _: &str) -> Outcome {
        Ok(())
    }
    fn wait(&mut self, _: Duration) -> Outcome {
        Ok(())
    }
    fn hear(&mut self) -> Result<Vec<(String, Heard)>, String> {
        let heard = self.0.pop_front().unwrap_or_default();
        let words = |(person, line): (&str, &str)| match line {
            script::CLOSED => (person.to_string(), Heard::Closed),
            line => (person.to_string(), Heard::Line(line.to_string())),
        };
        Ok(heard.into_iter().map(words).collect())
    }
}

/// A story in which this is expected of one line, and this heard.
fn story(expected: &str, heard: &[(&'static str, &'static str)]) -> (String, Echo) {
    let text = format!("# A story for this test.\nservers hall\nalice> hello\n{expected}");
    (text, Echo(VecDeque::from([vec![], heard.to_vec()])))
}

/// What stands below that line once it is blessed.
fn blessed(expected: &str, heard: &[(&'static str, &'static str)]) -> String {
    let (text, mut stage) = story(expected, heard);
    bless("story.txt", &text, &mut stage)
        .split_once("> hello\n")
        .expect("nothing before it changes")
        .1
        .to_string()
}

#[test]
fn what_is_expected_in_order_and_by_everyone_is_right() {
    for (expected, heard) in [
        ("", vec![]),
        ("alice< a\nalice< b\n", vec![("alice", "a"), ("alice", "b")]),
        ("alice< a\nbob< b\nalice< c\n", vec![("bob", "b"), ("alice", "a"), ("alice", "c")]),
        ("bob< :alice hi\n", vec![("bob", ":alice!a@host hi")]),
        ("bob< :alice!a@host hi\n", vec![("bob", ":alice!a@host hi")]),
        ("bob< {byte ff}\n", vec![("bob", "\u{fffd}")]),
        ("alice< *closed*\n", vec![("alice", "*closed*")]),
        (
            "alice< *welcome*\n",
            vec![("alice", ":h 001 a :hi"), ("alice", ":h 002 a :x"), ("alice", ":h 422 a :x")],
        ),
    ] {
        let (text, mut stage) = story(expected, &heard);
        check("story.txt", &text, &mut stage);
        assert_eq!(blessed(expected, &heard), expected);
    }
}

#[test]
fn what_is_missing_unexpected_or_in_another_order_is_wrong_and_written_as_it_was() {
    for (expected, heard, written) in [
        ("", vec![("alice", "a")], "alice< a"),
        ("alice< a\n", vec![], ""),
        ("alice< a\nalice< b\n", vec![("alice", "b"), ("alice", "a")], "alice< b\nalice< a"),
        ("alice< a\n", vec![("bob", "a")], "bob< a"),
        (
            "# why\nalice< :{any} x\nalice< y\n",
            vec![("alice", ":h x"), ("alice", "z")],
            "# why\nalice< :{any} x\nalice< z",
        ),
        ("alice< a\n", vec![("alice", ":b!b@h a 1700000000")], "alice< :b a {unix}"),
        ("alice< x\n", vec![("alice", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")], "alice< {30 y}"),
    ] {
        let (text, mut stage) = story(expected, &heard);
        catch_unwind(AssertUnwindSafe(|| check("story.txt", &text, &mut stage))).expect_err(expected);
        assert_eq!(blessed(expected, &heard).trim_end(), written, "{expected}");
    }
}

#[test]
fn a_difference_is_shown_with_its_place_among_what_was_right() {
    let (text, mut stage) = story("alice< a\nalice< b\n", &[("alice", "a"), ("bob", "c")]);
    let panic = catch_unwind(AssertUnwindSafe(|| check("story.txt", &text, &mut stage))).unwrap_err();
    let shown: &String = panic.downcast_ref().expect("a panic with a text");
    let lines: Vec<&str> = shown.lines().take(4).collect();
    assert_eq!(
        lines,
        [
            "story.txt:3: after `alice> hello`",
            "      alice< a",
            "    - alice< b   (expected in line 5, and not heard)",
            "    + bob< c   (heard, and not expected)",
        ]
    );
}

#[test]
fn an_act_that_cannot_take_place_fails_with_its_line() {
    let mut stage = Echo(VecDeque::new());
    let play = || check("story.txt", "# A story for this test.\nstop hall\n", &mut stage);
    let panic = catch_unwind(AssertUnwindSafe(play)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "story.txt:2: hall cannot be stopped");
}

#[test]
fn a_placeholder_is_one_value_of_its_shape() {
    let mut values = Values::default();
    for (expected, line, matches) in [
        ("@msgid={msgid} hi", "@msgid=7FA.1 hi", true),
        ("@+reply={msgid} hi", "@+reply=7FA.2 hi", false),
        ("@+reply={msgid} hi", "@+reply=7FA.1 hi", true),
        ("@msgid={msgid2} hi", "@msgid=7FA.2 hi", true),
        ("@time={time} hi", "@time=yesterday hi", false),
        ("@time={time} hi", "@time=2026-11-21T06:56:05.123Z hi", true),
        ("{any} and {any}", "this and that", true),
        (":{uid} NICK x", ":7FAA00001 NICK x", true),
        (":{uid2} NICK x", ":alice NICK x", false),
        ("nick{a}", "nick{a}", true),
        ("{3 x}", "xxx", true),
    ] {
        assert_eq!(values.matches(expected, line), matches, "{expected} / {line}");
    }
    assert_eq!(values.fill_in("@+reply={msgid2} TAGMSG a{b}"), Ok("@+reply=7FA.2 TAGMSG a{b}".to_string()));
    assert!(values.fill_in("{msgid9}").is_err());
}

#[test]
fn a_fault_is_named_with_its_line() {
    for (text, line, why) in [
        ("servers hall\n", 1, "begins with a comment"),
        ("# Some story.\nservers hall\ngibberish\n", 3, "nothing that a transcript can say"),
        ("# Some story.\nalice< hello\n", 2, "nothing has been done yet"),
        ("# Some story.\n\n    x = 1\n", 3, "only settings are indented"),
        ("# Some story.\nconfig hall\n    x = 1\n\n    y = = 2\nservers hall\n", 5, ""),
        ("# Some story.\nwait soon\n", 2, "soon is no time"),
        ("# Some story.\nbob at hall with batch\n", 2, "only `over TLS [by certificate]` and `wants"),
    ] {
        let (place, fault) = script::parse(text).err().expect(text);
        assert!(place == line && fault.contains(why), "{place}: {fault}");
    }
}
