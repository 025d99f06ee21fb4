//! Makes a story that fails as short as it can be made without understanding it.

/// So often a story is played again, which takes seconds and not minutes.
const TRIES: usize = 3_000;

/// Leaves out ever smaller parts of a story for as long as it still fails, all but its beginning.
pub fn shortest(mut story: Vec<String>, fails: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut tries = 0;
    let mut length = story.len() / 2;
    while length > 0 {
        let mut place = 1;
        let before = story.len();
        while place < story.len() && tries < TRIES {
            tries += 1;
            let end = story.len().min(place + length);
            let shorter = [&story[..place], &story[end..]].concat();
            if fails(&shorter) {
                story = shorter;
            } else {
                place = end;
            }
        }
        // Single lines are tried again for as long as one of them could go.
        length = if length == 1 && story.len() < before && tries < TRIES { 1 } else { length / 2 };
    }
    story
}
