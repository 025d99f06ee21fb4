//! Faults that can be planted on purpose, to see whether the tests would find them. Without the feature
//! `defects`, which no release has, none of them is part of the program.

/// One fault, at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Of two writings that stand side by side, the one that came last shows, whatever their stamps.
    LatestArrivalWins,
    /// What a write says it replaces is not replaced.
    OverIgnored,
    /// A merge keeps what the other side has seen go.
    MergeKeepsTheDead,
    /// Two who claim the same nick are both shown with it.
    NickForBoth,
    /// What was missed is not asked for.
    GapsStay,
    /// Users of a server that is out of reach are not said to be gone.
    SplitUntold,
    /// A message that comes by two ways is told twice.
    ToldTwice,
    /// What a server wrote in an earlier run is taken for its own writing of this run.
    EarlierRunIsMine,
    /// Nobody is told of a kick that another server did.
    KickUntold,
    /// Facts of a snapshot are merged one by one, as they come.
    MergedInParts,
    /// Facts of a snapshot are shown as they come, and merged when all of them have.
    ShownEarly,
    /// What was superseded before it came counts when it comes.
    EarlyForgotten,
    /// What an event replaces is not replaced where the event itself has been superseded before it came.
    DeadReplacesNothing,
    /// What is said to be superseded before it comes is dead when it comes, of whatever key it is.
    EarlyOfAnyKey,
    /// What belongs to a server's own users is written by any server.
    OwnedByAnyone,
    /// What was changed on its way stays as it came.
    ForgeryStays,
    /// What a link brought before its turn is taken in its turn, whatever became of the link.
    LiesOutliveLinks,
    /// Events that are not kept any more are left out of an answer, instead of sending a snapshot.
    TrimmedLogSuffices,
    /// Who goes makes room for another user of the same id.
    UserIdReused,
    /// A server that starts again goes on with the epoch that it had, and begins to count from 1.
    EpochReused,
    /// A server that is known in a later run than its own takes no notice.
    LaterRunIgnored,
    /// A clock starts with the time on the wall, whatever it had shown before.
    ClockFallsBack,
    /// A status that was given to somebody counts for whatever join of theirs.
    StatusForAnyJoin,
}

impl Defect {
    pub const ALL: [Defect; 23] = [
        Defect::LatestArrivalWins,
        Defect::OverIgnored,
        Defect::MergeKeepsTheDead,
        Defect::NickForBoth,
        Defect::GapsStay,
        Defect::SplitUntold,
        Defect::ToldTwice,
        Defect::EarlierRunIsMine,
        Defect::KickUntold,
        Defect::MergedInParts,
        Defect::ShownEarly,
        Defect::EarlyForgotten,
        Defect::DeadReplacesNothing,
        Defect::EarlyOfAnyKey,
        Defect::OwnedByAnyone,
        Defect::ForgeryStays,
        Defect::LiesOutliveLinks,
        Defect::TrimmedLogSuffices,
        Defect::UserIdReused,
        Defect::EpochReused,
        Defect::LaterRunIgnored,
        Defect::ClockFallsBack,
        Defect::StatusForAnyJoin,
    ];
}

#[cfg(not(feature = "defects"))]
pub const fn is_planted(_: Defect) -> bool {
    false
}

#[cfg(feature = "defects")]
mod planted {
    use std::cell::Cell;

    use super::Defect;

    std::thread_local! {
        static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
    }

    /// Plants one defect, or none, for every engine that this thread steps.
    pub fn plant(defect: Option<Defect>) {
        PLANTED.set(defect);
    }

    pub fn is_planted(defect: Defect) -> bool {
        PLANTED.get() == Some(defect)
    }
}

#[cfg(feature = "defects")]
pub use planted::{is_planted, plant};
