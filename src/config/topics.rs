//! What operators may be told of while it happens, one row each.

/// One topic that operators follow by user mode `s`.
pub struct Topic {
    pub letter: char,
    pub help: &'static str,
}

/// Those of somebody who follows without naming any: what is rare, and of the whole network.
pub const TOPICS_USUAL: &str = "gkloprsvx";

pub const TOPICS: &[Topic] = &[
    Topic { letter: 'c', help: "Who connects to this server." },
    Topic { letter: 'C', help: "Who connects to other servers." },
    Topic {
        letter: 'f',
        help: "Who on this server is held back for doing too much: at most ten a minute, and nobody twice in one.",
    },
    Topic { letter: 'g', help: "What operators say to each other by GLOBOPS and LOCOPS." },
    Topic { letter: 'k', help: "Kills, on every server." },
    Topic { letter: 'l', help: "Links of this server, servers that come and go, CONNECT and SQUIT." },
    Topic { letter: 'n', help: "Who on this server takes another nick." },
    Topic { letter: 'N', help: "Who on other servers takes another nick." },
    Topic { letter: 'o', help: "Who becomes an operator, fails to, and stops being one, on every server." },
    Topic {
        letter: 'p',
        help: "What people report to operators by REPORT, and which of it is closed, on every server.",
    },
    Topic { letter: 'q', help: "Who leaves this server." },
    Topic { letter: 'Q', help: "Who leaves other servers; not those who are lost in a split." },
    Topic { letter: 'r', help: "Who is turned away from this server, and why." },
    Topic {
        letter: 's',
        help: "This server itself: its settings, secrets and disk, REHASH, DIE and RESTART.",
    },
    Topic {
        letter: 'v',
        help: "People renamed, moved or shown otherwise by SANICK, SAJOIN, SAPART, CHGHOST and the like, and channels set by SAMODE and SATOPIC, on every server.",
    },
    Topic {
        letter: 'x',
        help: "Bans from the network: K-Lines, D-Lines and X-Lines, set, changed and lifted anywhere.",
    },
];
