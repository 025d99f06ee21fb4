//! `folkmoot export` and `folkmoot import`: what a server keeps goes into another one, whole and once.

#[path = "support/process/mod.rs"]
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use process::client::Client;
use process::run::{Output, run};
use process::{Directory, Server, linked};
use serde_json::Value;

/// The settings file is not needed: what counts is in the data directory.
fn archive(command: &str, server: &Server, file: &Path) -> Output {
    let settings = server.write_settings();
    run(&[
        command,
        "--config",
        settings.to_str().unwrap(),
        "--data",
        server.data().to_str().unwrap(),
        file.to_str().unwrap(),
    ])
}

fn export(server: &Server, file: &Path) -> Vec<Value> {
    let output = archive("export", server, file);
    assert_eq!(output.code, Some(0), "{output:?}");
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(server: &Server, file: &Path) -> String {
    let output = archive("import", server, file);
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}

/// What an export says, without who wrote it down there.
fn said(items: &[Value]) -> Vec<String> {
    // What happens is noted anew wherever people come.
    let is_said = |item: &&Value| item.get("say").is_some() && !is_happening(item);
    let mut said: Vec<String> = items
        .iter()
        .filter(is_said)
        .map(|item| {
            let mut item = item.clone();
            if item["kind"] != "message" {
                item["by"] = Value::Null;
                item["id"] = Value::Null;
            }
            item.to_string()
        })
        .collect();
    said.sort();
    said
}

fn is_happening(item: &Value) -> bool {
    item["say"][0] == "HAPPENED"
}

fn of_kind<'i>(items: &'i [Value], kind: &str) -> Vec<&'i Value> {
    items.iter().filter(|item| item["kind"] == kind).collect()
}

fn with_capabilities(server: &Server, nick: &str) -> Client {
    let mut client = server.client(nick);
    client.say(
        "CAP REQ :batch server-time message-tags draft/chathistory echo-message draft/read-marker draft/metadata-2",
    );
    client.hear_until(" ACK ");
    client
}

fn register(client: &mut Client, name: &str) {
    client.say(&format!("REGISTER {name} * hayrick99"));
    client.hear_until("REGISTER SUCCESS");
    client.hear_until(" 900 ");
}

fn log_in(client: &mut Client, name: &str) {
    client.say(&format!("NS IDENTIFY {name} hayrick99"));
    client.hear_until(" 900 ");
    client.sync();
}

fn services_say(client: &mut Client, line: &str) -> Vec<String> {
    client.say(line);
    let mut heard = client.sync();
    heard.retain(|line| line.contains(" NOTICE "));
    heard.iter().map(|line| line.rsplit_once(" :").unwrap().1.to_string()).collect()
}

/// What was said on a channel, without the names of batches.
fn history(client: &mut Client, channel: &str) -> Vec<String> {
    client.say(&format!("CHATHISTORY LATEST {channel} * 50"));
    client.hear_until(" BATCH +");
    let mut lines = Vec::new();
    loop {
        let line = client.hear();
        if line.contains(" BATCH -") {
            return lines;
        }
        let (tags, rest) = line.split_once(' ').unwrap();
        let tags: Vec<&str> = tags[1..].split(';').filter(|tag| !tag.starts_with("batch=")).collect();
        lines.push(format!("{} {rest}", tags.join(";")));
    }
}

/// A server on which there is something of everything, still running, with the file that holds it.
struct Full {
    hall: Server,
    alice: Client,
    directory: Directory,
}

fn full() -> Full {
    let operator = "[[operator]]\nname = \"root\"\npassword = \"hay\"\nclass = \"administrator\"";
    let hall = Server::started("hall", &format!("history.ack = \"disk\"\n{operator}"));
    let mut alice = with_capabilities(&hall, "alice");
    register(&mut alice, "alice");
    let mut bob = with_capabilities(&hall, "bob");
    register(&mut bob, "bob");
    alice.join("#green");
    for line in [
        "TOPIC #green :the harvest",
        "MODE #green +kb hay *!*@far.lan",
        "CS REGISTER #green",
        "CS ACCESS #green ADD bob OP",
        "CS SET #green DESC what grows here",
        "METADATA #green SET display-name :Green field",
        "PRIVMSG #green :one",
        "PRIVMSG #green :{\"two\": \\\"quoted\\\" é}",
        "NOTICE bob :between us",
        "MARKREAD #green timestamp=2026-01-01T00:00:00.000Z",
    ] {
        alice.say(line);
    }
    alice.say("OPER root hay");
    alice.hear_until(" 381 ");
    alice.say("KLINE 600 *@bad.lan :out of here");
    alice.hear_until("is in force");
    alice.say("PRIVMSG #green :to be taken back");
    let line = alice.hear_until(":to be taken back");
    let id = line.split("msgid=").nth(1).unwrap().split([';', ' ']).next().unwrap().to_string();
    alice.say(&format!("REDACT #green {id} :sorry"));
    alice.sync();
    // An echo says that it is on disk, and facts were kept before it.
    alice.say("PRIVMSG #green :the last");
    alice.hear_until(":the last");
    Full { hall, alice, directory: Directory::new("export") }
}

impl Full {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }
}

#[test]
fn what_a_running_server_keeps_is_found_by_clients_of_another_one_that_imported_it() {
    let mut full = full();
    let file = full.file("hall.jsonl");
    let items = export(&full.hall, &file);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for (kind, least) in
        [("account", 6), ("channel", 5), ("metadata", 1), ("ban", 1), ("marker", 1), ("message", 5)]
    {
        assert!(of_kind(&items, kind).len() >= least, "{kind} in {items:?}");
    }

    let mut barn = Server::new("barn");
    let text = import(&barn, &file);
    let facts = items.len() - of_kind(&items, "message").len() - of_kind(&items, "run").len() - 2;
    assert!(
        text.contains(&format!("imported {facts} facts and {} messages", of_kind(&items, "message").len())),
        "{text}"
    );
    barn.start();
    // A first start it is still, for those at its machine.
    barn.prints("administrator");
    let mut alice = with_capabilities(&barn, "alice");
    log_in(&mut alice, "alice");
    let there = services_say(&mut full.alice, "CS INFO #green");
    assert!(there.iter().any(|line| line == "What it is for: what grows here"), "{there:?}");
    assert_eq!(services_say(&mut alice, "CS INFO #green"), there);
    alice.say("JOIN #green hay");
    assert!(alice.hear_until(" 332 ").ends_with(":the harvest"));
    alice.hear_until(" 366 ");
    alice.say("MODE #green +b");
    assert!(alice.hear_until(" 367 ").contains("*!*@far.lan"));
    let mut bob = with_capabilities(&barn, "bob");
    log_in(&mut bob, "bob");
    bob.say("JOIN #green hay");
    alice.hear_until("MODE #green +o bob");

    let (there, here) = (history(&mut full.alice, "#green"), history(&mut alice, "#green"));
    assert!(there.len() >= 3 && there[0].contains("msgid=") && there[0].contains("time="), "{there:?}");
    assert_eq!(here, there);
    alice.say("MARKREAD #green");
    assert!(alice.hear_until(" MARKREAD ").ends_with("timestamp=2026-01-01T00:00:00.000Z"));
    barn.stop();

    // Once more, and out again: nothing is there twice.
    assert!(import(&barn, &file).contains("imported 0 facts and 0 messages"));
    let again = export(&barn, &full.file("barn.jsonl"));
    // What was done there meanwhile: two joined.
    assert_eq!(said(&again), said(&items));
}

#[test]
fn what_a_server_of_the_network_exported_is_doubled_nowhere_when_servers_come_together() {
    let [mut hall, mut barn] = ["hall", "barn"].map(|word| {
        let mut server = Server::new(word);
        server.set("history.ack = \"disk\"");
        server
    });
    let wire = linked(&mut hall, &mut barn);
    wire.cut();
    let mut bob = with_capabilities(&barn, "bob");
    register(&mut bob, "bob");
    bob.join("#barn");
    bob.say("CS REGISTER #barn");
    bob.say("PRIVMSG #barn :apart");
    bob.hear_until(":apart");
    let before = history(&mut bob, "#barn");
    let directory = Directory::new("split");
    let file = directory.0.join("barn.jsonl");
    export(&barn, &file);
    hall.stop();
    import(&hall, &file);
    // The password is another one by the time they meet.
    bob.say("NS SET PASSWORD strawbale77");
    bob.hear_until(" NOTICE ");
    let mark = barn.mark();
    hall.start();
    wire.mend();
    barn.is_linked_with(mark, &hall);
    let mut eve = with_capabilities(&hall, "eve");
    eve.reach("barn.lan");
    eve.say("NS IDENTIFY bob hayrick99");
    eve.hear_until(" NOTICE ");
    eve.say("NS IDENTIFY bob strawbale77");
    eve.hear_until(" 900 ");
    eve.sync();
    assert_eq!(services_say(&mut eve, "CS INFO #barn"), services_say(&mut bob, "CS INFO #barn"));
    eve.join("#barn");
    assert_eq!(history(&mut eve, "#barn"), before);
    let there = export(&barn, &directory.0.join("after.jsonl"));
    let messages = of_kind(&there, "message").into_iter().filter(|item| !is_happening(item));
    assert_eq!(messages.count(), 1);
}

#[test]
fn what_was_removed_since_an_export_stays_removed() {
    let mut full = full();
    let file = full.file("hall.jsonl");
    export(&full.hall, &file);
    let remove = |client: &mut Client| {
        for line in
            ["MODE #green -b *!*@far.lan", "CS ACCESS #green DEL bob", "METADATA #green SET display-name"]
        {
            client.say(line);
        }
        client.sync();
        client.say("PRIVMSG #green :removed");
        client.hear_until(":removed");
    };
    let is_removed = |server: &Server, client: &mut Client| {
        client.say("JOIN #green hay");
        client.hear_until(" 366 ");
        client.say("MODE #green +b");
        let heard = client.sync();
        assert!(!heard.iter().any(|line| line.contains("far.lan")), "{}: {heard:?}", server.name());
        let access = services_say(client, "CS ACCESS #green LIST");
        assert!(!access.iter().any(|line| line.contains("bob")), "{access:?}");
    };
    remove(&mut full.alice);
    full.hall.stop();
    let text = import(&full.hall, &file);
    assert!(text.contains("imported 0 facts and 0 messages"), "{text}");
    full.hall.start();
    let mut alice = with_capabilities(&full.hall, "alice");
    log_in(&mut alice, "alice");
    is_removed(&full.hall, &mut alice);

    // Also where it was imported from elsewhere, and removed there.
    let mut barn = Server::new("barn");
    barn.set("history.ack = \"disk\"");
    import(&barn, &file);
    barn.start();
    let mut alice = with_capabilities(&barn, "alice");
    log_in(&mut alice, "alice");
    alice.say("JOIN #green hay");
    alice.hear_until(" 366 ");
    remove(&mut alice);
    barn.stop();
    let text = import(&barn, &file);
    assert!(text.contains("imported 0 facts and 0 messages"), "{text}");
    barn.start();
    let mut alice = with_capabilities(&barn, "alice");
    log_in(&mut alice, "alice");
    is_removed(&barn, &mut alice);
}

#[test]
fn whoever_has_a_nick_or_a_channel_keeps_it_when_older_claims_are_imported() {
    let full = full();
    let file = full.file("hall.jsonl");
    export(&full.hall, &file);
    let mut barn = Server::new("barn");
    barn.set("history.ack = \"disk\"");
    barn.start();
    let mut bob = with_capabilities(&barn, "bob");
    register(&mut bob, "bob");
    bob.say("NICK alice");
    bob.hear_until(" NICK ");
    bob.say("NS GROUP");
    bob.join("#green");
    bob.say("CS REGISTER #green");
    bob.say("TOPIC #green :mine");
    bob.say("PRIVMSG #green :kept");
    bob.hear_until(":kept");
    let info = services_say(&mut bob, "CS INFO #green");
    barn.stop();
    import(&barn, &file);
    assert!(import(&barn, &file).contains("imported 0 facts and 0 messages"));
    barn.start();
    let mut bob = with_capabilities(&barn, "bob");
    log_in(&mut bob, "bob");
    assert_eq!(services_say(&mut bob, "CS INFO #green"), info);
    bob.say("JOIN #green");
    assert!(bob.hear_until(" 332 ").ends_with(":mine"));
    let about = services_say(&mut bob, "NS INFO bob");
    assert!(about.iter().any(|line| line.contains("alice")), "{about:?}");
    // Who has lost a name is there by another, and can log in all the same.
    barn.stop();
    let names: Vec<String> = export(&barn, &full.file("barn.jsonl"))
        .iter()
        .filter(|item| item["say"][0] == "ACCOUNT" && item["say"][2] == "name")
        .map(|item| item["say"][4].as_str().unwrap().to_string())
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "bob").count(), 2, "{names:?}");
    barn.start();
    let mut alice = with_capabilities(&barn, "cyd");
    log_in(&mut alice, "alice");
    let shown = services_say(&mut alice, "NS INFO alice");
    assert!(shown.iter().any(|line| line.contains("alice")), "{shown:?}");
}

#[test]
fn a_server_that_runs_is_told_apart_and_a_file_is_never_written_over() {
    let mut hall = Server::started("hall", "");
    let directory = Directory::new("refused");
    let file = directory.0.join("hall.jsonl");
    export(&hall, &file);
    let output = archive("export", &hall, &file);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("is there already"), "{output:?}");
    let output = archive("import", &hall, &file);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("only a stopped server"), "{output:?}");
    hall.stop();
    assert!(import(&hall, &file).contains("imported 0 facts"));
    let nowhere = Server::new("nowhere");
    let output = archive("export", &nowhere, &directory.0.join("nothing.jsonl"));
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("there is no store"), "{output:?}");
    assert!(!directory.0.join("nothing.jsonl").exists());
}

#[test]
fn files_that_are_cut_or_of_another_version_or_senseless_change_nothing_and_are_named_by_line() {
    let full = full();
    let file = full.file("hall.jsonl");
    export(&full.hall, &file);
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let barn = Server::new("barn");
    let spoilt = full.file("spoilt.jsonl");
    let refused = |text: String, why: &str| {
        fs::write(&spoilt, &text).unwrap();
        let output = archive("import", &barn, &spoilt);
        assert_eq!(output.code, Some(1), "{why}: {output:?}");
        assert!(output.stderr.contains(why), "{why}: {output:?}");
    };
    refused(String::new(), "is no export");
    refused("{\"people\":1}\n".to_string(), "is no export");
    refused(whole.replace("\"version\":1", "\"version\":2"), "is an export of version 2");
    let end = lines.len();
    refused(lines[..end - 1].join("\n") + "\n", &format!("line {end}: the end is missing"));
    refused(whole[..whole.len() / 2].to_string(), "the end is missing");
    refused(
        lines[..2].iter().chain(&lines[3..]).map(|line| format!("{line}\n")).collect(),
        "items, and there are",
    );
    for (line, why) in [
        ("{", "it cannot be read"),
        ("{\"kind\":\"tree\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7FA\"}", "no kind \"tree\""),
        ("{\"kind\":\"ban\",\"time\":\"now\",\"by\":\"7FA\"}", "\"now\" is no time"),
        (
            "{\"kind\":\"ban\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7FA\",\"leaf\":1}",
            "it cannot be read: unknown field",
        ),
        ("{\"kind\":\"ban\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7fa\"}", "is no id of a server"),
        ("{\"kind\":\"ban\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7FA\",\"say\":[]}", "says nothing"),
        (
            "{\"kind\":\"ban\",\"time\":\"2999-01-01T00:00:00Z\",\"by\":\"7FA\",\"say\":[\"BAN\"]}",
            "is yet to come",
        ),
        (
            "{\"kind\":\"ban\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7FA\",\"say\":[\"QUIT\",\"7FAAAAAAA\",\"x\"]}",
            "cannot make sense of QUIT",
        ),
        (
            "{\"kind\":\"ban\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7FA\",\"say\":[\"BAN\",\"K\\n\",\"x\"]}",
            "cannot make sense of BAN",
        ),
        (
            "{\"kind\":\"message\",\"id\":\"8FA.1.M1\",\"time\":\"2026-01-01T00:00:00Z\",\"by\":\"7FA\",\"say\":[\"PRIVMSG\"]}",
            "is no id of a message of 7FA",
        ),
    ] {
        let mut with = lines.clone();
        with.insert(3, line);
        refused(with.join("\n") + "\n", why);
    }
    // The rest is imported where that is wanted.
    let mut with = lines.clone();
    with.insert(3, "{");
    fs::write(&spoilt, with.join("\n") + "\n").unwrap();
    let settings = barn.write_settings();
    let output = run(&[
        "import",
        "--despite-faults",
        "--config",
        settings.to_str().unwrap(),
        "--data",
        barn.data().to_str().unwrap(),
        spoilt.to_str().unwrap(),
    ]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("line 4: it cannot be read"), "{output:?}");
    assert!(import(&barn, &file).contains("imported 0 facts and 0 messages"));
}

/// What was said of what could not be had.
fn left_out(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("left out: ")).collect()
}

/// The hash of "hayrick99", as bcrypt makes it of the password and, as Ergo does, of its SHA3-512 digest.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuudfEg22RU4ovsLP2KcTmvOg7NNEkez.6";
const BCRYPT_OF_DIGEST: &str = "$2b$04$abcdefghijklmnopqrstuuxIhikai.lB4998C22se8KgmkDOW0mea";

/// How passwords of accounts are kept.
fn hashes(items: &[Value]) -> Vec<String> {
    let passwords = items.iter().filter(|item| item["say"][2] == "password");
    passwords.map(|item| item["say"][4].as_str().unwrap().to_string()).collect()
}

#[test]
fn what_ergo_imports_from_other_services_is_imported_here() {
    let directory = Directory::new("services");
    let file = directory.0.join("atheme.json");
    let text = serde_json::json!({
        "version": 1,
        "source": "atheme",
        "users": {
            "alice": {
                "name": "alice", "hash": BCRYPT, "email": "alice@lan.example",
                "registeredAt": 1_600_134_392_000_000_000_u64, "additionalnicks": ["alicia"]
            },
            "bob": {"name": "bob", "hash": "$1$hcspif$nCm4r3S14Me9ifsOPGuJT.", "email": "*", "registeredAt": 1_600_134_392},
            "not a name": {"name": "not a name", "hash": BCRYPT, "registeredAt": 1}
        },
        "channels": {
            "#green": {
                "name": "#Green", "founder": "alice", "registeredAt": 1_600_134_500_000_000_000_u64,
                "topic": "the harvest", "topicSetBy": "cyd", "topicSetAt": 1_600_134_600_000_000_000_u64,
                "amode": {"alice": "q", "bob": "o", "dan": "v"}, "modes": "ntE", "key": "hay", "limit": 7
            },
            "#red": {"name": "#red", "founder": "nobody", "registeredAt": 5}
        }
    });
    fs::write(&file, text.to_string()).unwrap();
    let mut hall = Server::new("hall");
    let said = import(&hall, &file);
    assert_eq!(
        left_out(&said),
        [
            "bob: nobody can log in by password: it is kept in a way that is not known here",
            "nobody can be called \"not a name\" here",
            "#Green: there is no account dan to have access",
            "#Green: mode E means something else here, or nothing",
            "#red is nobody's: there is no account nobody",
        ]
    );
    assert!(import(&hall, &file).contains("imported 0 facts"));
    hall.start();
    let mut alice = hall.client("alice");
    alice.say("NS IDENTIFY alice wrong");
    alice.hear_until(" NOTICE ");
    log_in(&mut alice, "alice");
    let info = services_say(&mut alice, "CS INFO #green");
    assert_eq!(info, ["#Green is alice's, since 2020-09-15 01:48:20 UTC."]);
    alice.say("JOIN #green hay");
    assert!(alice.hear_until(" 332 ").ends_with(":the harvest"));
    assert!(alice.hear_until(" 333 ").contains("cyd 1600134600"));
    alice.hear_until(" 366 ");
    alice.say("MODE #green");
    let modes = alice.hear_until(" 324 ");
    assert!(modes.contains("+klnt hay 7"), "{modes}");
    let access = services_say(&mut alice, "CS ACCESS #green LIST");
    assert!(access.iter().any(|line| line.contains("bob") && line.contains("OP")), "{access:?}");
    // Somebody with SCRAM can log in from now on: what she was checked against is made anew.
    hall.stop();
    let items = export(&hall, &directory.0.join("hall.jsonl"));
    let hashes = hashes(&items);
    assert!(hashes.len() == 1 && hashes[0].starts_with("$argon2id$"), "{hashes:?}");
}

#[test]
fn nicks_of_people_here_are_not_given_to_those_who_come_from_elsewhere() {
    let directory = Directory::new("nicks");
    let file = directory.0.join("atheme.json");
    let user = |name: &str, nicks: Value| serde_json::json!({"name": name, "hash": BCRYPT, "registeredAt": 1_600_134_392, "additionalnicks": nicks});
    let users = serde_json::json!({
        "alice": user("alice", serde_json::json!(["zed", "lissy", "alicia"])),
        "lissy": user("lissy", serde_json::json!([])),
    });
    fs::write(&file, serde_json::json!({"version": 1, "users": users}).to_string()).unwrap();
    let mut hall = Server::started("hall", "");
    let mut zed = hall.client("zed");
    register(&mut zed, "zed");
    zed.say("NICK lissy");
    zed.hear_until(" NICK ");
    zed.say("NS GROUP");
    zed.hear_until(" NOTICE ");
    hall.stop();
    assert_eq!(
        left_out(&import(&hall, &file)),
        [
            "alice: zed is a nick of somebody here, who keeps it",
            "alice: lissy is a nick of somebody here, who keeps it",
            "lissy is a nick of somebody here, who keeps it",
        ]
    );
    hall.start();
    let mut alice = hall.client("alice");
    log_in(&mut alice, "alice");
    alice.say("NICK lissy");
    alice.hear_until("lissy belongs to the account zed");
    alice.say("NICK alicia");
    let heard = alice.sync();
    assert!(!heard.iter().any(|line| line.contains("belongs to")), "{heard:?}");
}

#[test]
fn the_database_of_ergo_is_imported() {
    use base64::Engine as _;
    let directory = Directory::new("ergo");
    let file = directory.0.join("ircd.db");
    let mut log = String::new();
    let mut say = |words: &[&str]| {
        log += &format!("*{}\r\n", words.len());
        words.iter().for_each(|word| log += &format!("${}\r\n{word}\r\n", word.len()));
    };
    let hash = base64::engine::general_purpose::STANDARD.encode(BCRYPT_OF_DIGEST);
    let credentials = format!(
        "{{\"Version\":1,\"PassphraseHash\":\"{hash}\",\"Certfps\":[\"{}\"],\"Salt\":null,\"Iters\":0}}",
        "ab".repeat(32)
    );
    let channel = serde_json::json!({
        "Name": "#Green", "RegisteredAt": "2020-09-15T01:48:20.5Z", "Founder": "alice",
        "Topic": "the harvest", "TopicSetBy": "cyd!c@host", "TopicSetTime": "2020-09-15T01:50:00Z",
        "Modes": [110, 116], "Key": "", "UserLimit": 0, "AccountToUMode": {"bob": 111},
        "Bans": {"*!*@far.lan": {"TimeCreated": "2020-09-15T01:50:00Z", "CreatorNickmask": "cyd!c@host"}},
        "Metadata": {"display-name": "Green field"}
    });
    say(&["set", "account.exists gone", "1"]);
    for (account, name) in [("alice", "Alice"), ("bob", "bob"), ("dan", "dan"), ("eve", "eve")] {
        say(&["set", &format!("account.exists {account}"), "1"]);
        say(&["set", &format!("account.name {account}"), name, "ex", "900"]);
        say(&["set", &format!("account.registered.time {account}"), "1600134392000000000"]);
        say(&["set", &format!("account.credentials {account}"), &credentials]);
    }
    say(&["set", "account.verified alice", "1"]);
    say(&["set", "account.verified bob", "1"]);
    let suspended = "{\"AccountName\":\"dan\",\"TimeCreated\":\"2020-09-15T01:48:20.123456789Z\",\"Duration\":0,\
         \"OperName\":\"root\",\"Reason\":\"spam\"}";
    say(&["set", "account.suspended dan", suspended]);
    say(&["set", "account.verified dan", "1"]);
    say(&["set", "account.settings bob", "{\"Email\":\"bob@lan.example\"}"]);
    say(&["set", "account.additionalnicks alice", "alicia,lissy"]);
    say(&["set", "1 mfrggzdfmztwq2lk", &channel.to_string()]);
    say(&["del", "account.exists gone"]);
    fs::write(&file, &log).unwrap();
    let mut hall = Server::new("hall");
    let said = import(&hall, &file);
    assert_eq!(left_out(&said), ["eve: was never verified"]);
    assert!(import(&hall, &file).contains("imported 0 facts"));
    hall.start();
    let mut alice = hall.client("lissy");
    log_in(&mut alice, "alice");
    assert_eq!(
        services_say(&mut alice, "CS INFO #green"),
        ["#Green is Alice's, since 2020-09-15 01:48:20 UTC."]
    );
    alice.join("#green");
    alice.say("MODE #green +b");
    assert!(alice.hear_until(" 367 ").contains("*!*@far.lan cyd!c@host"));
    let info = services_say(&mut alice, "NS INFO alice");
    assert!(info.iter().any(|line| line.contains("alicia") && line.contains("lissy")), "{info:?}");
    let mut dan = hall.client("daniel");
    dan.say("NS IDENTIFY dan hayrick99");
    let refusal = dan.hear_until(" NOTICE ");
    assert!(refusal.contains("suspended") && refusal.ends_with(": spam"), "{refusal}");
    hall.stop();
    let items = export(&hall, &directory.0.join("hall.jsonl"));
    let hashes = hashes(&items);
    assert!(hashes.iter().any(|hash| hash.starts_with("$argon2id$")), "{hashes:?}");
    assert!(hashes.iter().any(|hash| hash.starts_with("$ergo$2b$")), "{hashes:?}");

    // Cut anywhere, it is refused.
    for length in [1, 7, log.len() / 2, log.len() - 3] {
        fs::write(&file, &log.as_bytes()[..length]).unwrap();
        let output = archive("import", &hall, &file);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("is no database of Ergo from byte"), "{output:?}");
    }
}
