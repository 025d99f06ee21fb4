//! Rust source as the structure tests see it: which module a file is, which paths it names, and on which line.

use std::path::{Path, PathBuf};

/// One file, its comments, texts and unit tests blanked out; lines stay where they are.
pub struct Source {
    /// From the top of the repository.
    pub shown: String,
    /// `["engine", "command", "talk"]`
    pub module: Vec<String>,
    pub code: String,
}

/// A path that the code names, from the crate's root where it is one of ours.
#[derive(Debug, PartialEq)]
pub struct Named {
    pub line: usize,
    /// `["crate", "wire", "names", "Nick"]`, `["std", "fs"]`
    pub path: Vec<String>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder whose name ends like this, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file's place from the top of the repository.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", shown(path)))
}

/// All of `src` that is not tests.
pub fn sources() -> Vec<Source> {
    let src = root().join("src");
    let is_program = |path: &PathBuf| path.file_stem().is_none_or(|stem| stem != "tests");
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&src).expect("it was found there").with_extension("");
        let mut module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.pop_if(|last| last == "mod" || last == "lib" || last == "main");
        Source { shown: shown(&path), module, code: without_tests(&blanked(&text(&path))) }
    };
    files(&src, "rs").into_iter().filter(is_program).map(read).collect()
}

/// Comments and what stands between quotes become spaces.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|after| after.len() - after.trim_start_matches('#').len());
        let raw = raw.filter(|hashes| rest[1 + hashes..].starts_with('"'));
        let is_in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            1 + quoted_length(&rest[1..])
        } else if let Some(hashes) = raw.filter(|_| !is_in_word) {
            let end = format!("\"{}", "#".repeat(hashes));
            2 + hashes + rest[2 + hashes..].find(&end).map_or(0, |place| place + end.len())
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("b'\"'") || rest.starts_with("'\\") {
            4
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (gone, after) = rest.split_at(length.min(rest.len()));
        code.extend(gone.chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = after;
    }
    code
}

/// From behind the first quote to behind the second.
fn quoted_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (place, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// Unit tests stand last in a file.
fn without_tests(code: &str) -> String {
    let is_tests = |after: &str| after.lines().nth(1).is_some_and(|line| line.ends_with("mod tests {"));
    let start =
        code.match_indices("#[cfg(test)]").map(|(place, _)| place).find(|place| is_tests(&code[*place..]));
    code[..start.unwrap_or(code.len())].to_string()
}

impl Source {
    /// `use` trees are spread out, and `super` and `self` resolved. Words alone are paths too, so that whatever an
    /// import brought in is seen where it is imported.
    pub fn paths(&self) -> Vec<Named> {
        let mut named = Vec::new();
        let mut place = 0;
        while let Some(start) = self.code[place..].find(is_word_char).map(|start| place + start) {
            let (paths, end) = tree(&self.code, start);
            let line = 1 + self.code[..start].matches('\n').count();
            let paths = paths.into_iter().map(|path| Named { line, path: self.resolve(path) });
            named.extend(paths);
            place = end;
        }
        named
    }

    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        if ups == 0 && path[0] != "self" {
            return path;
        }
        let up = self.module.len().saturating_sub(ups);
        let own = path.iter().skip(ups.max(1)).cloned();
        std::iter::once("crate".to_string()).chain(self.module[..up].iter().cloned()).chain(own).collect()
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path of a tree like `a::{b, c::{d, e}}`, and where it ends.
fn tree(code: &str, start: usize) -> (Vec<Vec<String>>, usize) {
    let end = start + code[start..].find(|c| !is_word_char(c)).unwrap_or(code.len() - start);
    let word = code[start..end].to_string();
    let Some(after) = code[end..].strip_prefix("::").map(|after| code.len() - after.len()) else {
        return (vec![vec![word]], end);
    };
    let (branches, end) = if code[after..].starts_with('{') {
        let mut branches = Vec::new();
        let mut place = after + 1;
        loop {
            place += code[place..].find(|c: char| is_word_char(c) || c == '}').expect("a brace is closed");
            if code[place..].starts_with('}') {
                break (branches, place + 1);
            }
            let (inner, end) = tree(code, place);
            branches.extend(inner);
            place = end;
        }
    } else if code[after..].starts_with(is_word_char) {
        tree(code, after)
    } else {
        // `::<Type>` or `::*`
        (vec![Vec::new()], after)
    };
    let whole = branches.into_iter().map(|rest| std::iter::once(word.clone()).chain(rest).collect());
    (whole.collect(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let code = "use super::{Who, cap::{Cap, Caps}};\nfn a() { self::b(crate::wire::line::LIMIT, \"std::fs\") } // std::fs\n";
        let module = ["engine", "mode"].map(str::to_string).to_vec();
        let source = Source { shown: String::new(), module, code: blanked(code) };
        let paths: Vec<String> = source
            .paths()
            .into_iter()
            .filter(|named| named.path.len() > 1)
            .map(|named| format!("{} {}", named.line, named.path.join("::")))
            .collect();
        let expected = [
            "1 crate::engine::Who",
            "1 crate::engine::cap::Cap",
            "1 crate::engine::cap::Caps",
            "2 crate::engine::mode::b",
            "2 crate::wire::line::LIMIT",
        ];
        assert_eq!(paths, expected);
    }
}
