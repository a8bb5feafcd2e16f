//! The cases. A case's number is its place in the lists: one that is put between others moves
//! those behind it, and the guide `peers` and who uses `--only` have to follow.

use std::time::Duration;

use super::draft::{Draft, Good};
use super::exchange::{Reply, Step};
use super::tunnel::Tunnel;

mod hostile;
mod legal;
mod reply;
mod rude;
mod upgrade;

pub(super) use self::upgrade::valid as valid_upgrade;

/// How much it weighs when the backend does not do what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Programs in use depend on it.
    Must,
    /// A rule says so, or it is safer.
    Should,
}

/// What a backend has to do. It must never hang or crash, whatever is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Answer.
    Answer,
    /// Answer, or say that it is over a limit.
    AnswerOrLimit,
    /// Refuse: with a status of 400 or more, or by closing.
    Refuse,
    /// Answer or refuse: programs differ, and both are sound.
    Either,
    /// Go on.
    Survive,
    /// Anything but a 101.
    NoSwitch,
    /// A 101, or whatever an ordinary request gets.
    Switch,
}

/// How a case is carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Play {
    /// One connection.
    Once(fn(&Good) -> Vec<Step>),
    /// A good request on a connection each, in two pieces cut at each place.
    Splits,
    /// So many good requests at once.
    AtOnce(usize),
    /// A good request while so many connections are open on which nothing comes.
    AmongIdle(usize),
    /// One connection that is closed without a look at the reply.
    Leave(fn(&Good) -> Vec<Step>),
    /// A good request, and a look at the reply.
    Look(fn(&Reply) -> Result<(), String>),
    /// The same with HEAD.
    LookAtHead(fn(&Reply) -> Result<(), String>),
    /// One connection on which this is sent; the answer may be a 101.
    Ask(fn(&Good) -> Draft),
    /// A valid upgrade with these bytes behind it, and what is done after the 101.
    Tunnel { early: &'static [u8], then: fn(&mut Tunnel, Duration) -> Result<&'static str, String> },
    /// A good request while so many tunnels are open.
    AmongTunnels(usize),
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Where the rule comes from.
    pub(crate) rule: &'static str,
    pub(crate) expect: Expect,
    pub(crate) severity: Severity,
    pub(crate) play: Play,
}

/// Cases of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) cases: &'static [Case],
}

/// All cases.
pub(crate) const GROUPS: [Group; 8] = [
    Group { title: "Requests", cases: legal::REQUESTS },
    Group { title: "How a request arrives", cases: legal::ARRIVAL },
    Group { title: "The reply", cases: reply::CASES },
    Group { title: "CONTENT_LENGTH and SCGI", cases: hostile::PARAMS },
    Group { title: "The netstring and the header block", cases: hostile::FRAMING },
    Group { title: "Other protocols", cases: hostile::PROTOCOLS },
    Group { title: "Rude and many clients", cases: rude::CASES },
    Group { title: "Upgrades", cases: upgrade::CASES },
];

/// All cases with their numbers, which begin at 1.
pub(crate) fn numbered() -> impl Iterator<Item = (usize, &'static str, &'static Case)> {
    let cases = GROUPS.iter().flat_map(|group| group.cases.iter().map(|case| (group.title, case)));
    cases.enumerate().map(|(index, (title, case))| (index + 1, title, case))
}

/// One write.
fn send(bytes: Vec<u8>) -> Vec<Step> {
    vec![Step::Send(bytes)]
}

/// A good request, changed.
fn changed(good: &Good, change: impl FnOnce(Draft) -> Draft) -> Vec<Step> {
    send(change(good.draft()).bytes())
}

fn pause() -> Step {
    // Longer than a packet takes, so that the pieces arrive apart.
    Step::Pause(Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_case_has_its_own_name_and_fits_the_table() {
        let mut names = HashSet::new();
        for (_, _, case) in numbered() {
            assert!(names.insert(case.name), "{} appears twice", case.name);
            assert!(case.name.len() <= super::super::report::NAME_WIDTH, "{}", case.name);
            assert!(case.rule.len() <= super::super::report::RULE_WIDTH, "{}", case.rule);
        }
        assert!(names.len() >= 50, "{}", names.len());
    }
}
