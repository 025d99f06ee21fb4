//! The short commands: those that print something and end.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use super::settings::Source;
use super::{beacon, discover, identity, invite, password, rotation, secrets};
use crate::config::duration_text;

/// Reads the settings and says every fault; the error is all of them.
pub fn check(source: &Source) -> Result<String, String> {
    let (settings, mut faults) = source.examine()?;
    let place = source.file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default();
    let of_files = identity::check_files(&settings.config);
    faults.extend(of_files.into_iter().map(|fault| format!("{place}{fault}")));
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let warnings: String = settings.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    Ok(match &source.file {
        Some(file) => format!("{warnings}{}: no faults\n", file.display()),
        None => "no settings file was named (--config), and the defaults have no faults\n".to_string(),
    })
}

/// Lists the servers on this LAN.
pub fn discover(port: u16, json: bool) -> Result<String, String> {
    let found = discover::ask(port, beacon::CLIENT_QUESTION_BYTES_MIN, |_| false)?;
    Ok(if json { discover::json(&found) } else { discover::table(&found) })
}

/// Makes a join code for the server that runs on this data directory.
pub fn invite(source: &Source) -> Result<String, String> {
    let settings = source.read().map_err(|faults| faults.join("\n"))?;
    let code = invite::invite(&settings.data)?;
    // Only the code goes to stdout, so that a script can take it from there.
    eprintln!("On the other machine, once and within 10 minutes: folkmoot serve --join CODE, where CODE is");
    Ok(format!("{code}\n"))
}

/// Has the server that runs on this data directory give its network a new secret.
pub fn rotate_secret(source: &Source) -> Result<String, String> {
    let settings = source.read().map_err(|faults| faults.join("\n"))?;
    rotation::ask(&settings.data)?;
    let time = duration_text(settings.config.network.old_secret_for);
    let mut text = format!(
        "The network has a new secret, which is on its way to all servers that are linked. One that is off is given it \
         when it links again within {time} (network.old_secret_for); after that, put it into that one's data directory: \
         the first line of {}.\n",
        settings.data.join(identity::SECRET).display()
    );
    let kept = settings.data.join(identity::SECRET);
    let named = settings.config.network.secret_file.as_deref().map(Path::new);
    if let Some(named) = named.filter(|named| !secrets::is_within(named, &settings.data)) {
        text += &format!("{}.\n", secrets::what_to_do(named, &kept));
    }
    Ok(
        text + "Other servers whose settings name a network.secret_file say in their logs what to do with it.\n"
    )
}

/// A hash for the settings, of a password typed at the terminal or piped in.
pub fn hash_password() -> Result<String, String> {
    let fault = |why: std::io::Error| format!("cannot read a password: {why}");
    let password = if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").map_err(fault)?;
        if rpassword::prompt_password("Once more: ").map_err(fault)? != password {
            return Err("the two passwords differ; try again".to_string());
        }
        password
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(fault)?;
        line.trim_end_matches(['\r', '\n']).to_string()
    };
    if password.is_empty() {
        return Err("an empty password keeps nobody out; nothing was hashed".to_string());
    }
    Ok(password::hash(&password) + "\n")
}

/// Sends the log to stderr: one line for each event, its subject first.
pub fn start_log() {
    let environment = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(environment)
        .format(|line, record| {
            let now = identity::wall_clock();
            // Texts may carry what strangers sent; no line of the log is made by them.
            let text = record.args().to_string().replace(char::is_control, " ");
            writeln!(line, "{now} {:<5} {:<18} {text}", record.level(), record.target())
        })
        .init();
}
