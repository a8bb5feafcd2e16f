//! Compares what was expected with what came.

use scgi_proto::{Escaped, ResponseHead};

use super::cases::{Expect, Severity};
use super::exchange::{Answer, Exchange};

/// How well a backend did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Passed,
    /// Against a rule, but nothing that is in use depends on it.
    Lenient,
    Failed,
}

impl Mark {
    /// The mark of a backend that did otherwise.
    pub(crate) fn of(severity: Severity) -> Self {
        match severity {
            Severity::Must => Self::Failed,
            Severity::Should => Self::Lenient,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Lenient => "lenient",
            Self::Failed => "FAILED",
        }
    }
}

/// A mark and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) mark: Mark,
    pub(crate) what: String,
}

impl Verdict {
    pub(crate) fn new(mark: Mark, what: impl Into<String>) -> Self {
        Self { mark, what: what.into() }
    }
}

/// Judges one exchange. `usual` is the status of the reply to a good request.
pub(crate) fn judge(
    expect: Expect,
    severity: Severity,
    exchange: &Exchange,
    usual: u16,
) -> Verdict {
    match (&exchange.answer, exchange.late) {
        (Answer::NoConnection(error), _) => {
            Verdict::new(Mark::Failed, format!("cannot connect: {error}"))
        }
        (Answer::Silence(0), _) => {
            Verdict::new(Mark::Failed, "hangs: no reply, even after the end of input")
        }
        (Answer::Silence(bytes), _) => {
            Verdict::new(Mark::Failed, format!("hangs: no end of the reply after {bytes} bytes"))
        }
        (answer, true) => late(expect, answer, usual),
        (answer, false) => match expect {
            Expect::Answer => answered(severity, answer, usual, false),
            Expect::AnswerOrLimit => answered(severity, answer, usual, true),
            Expect::Refuse => refused(answer),
            Expect::Either | Expect::Survive => either(answer),
            Expect::NoSwitch => match answer {
                Answer::Switched(_) => Verdict::new(Mark::of(severity), "101 all the same"),
                answer => either(answer),
            },
            Expect::Switch => match answer {
                Answer::Switched(_) => Verdict::new(Mark::Passed, "101"),
                answer => either(answer),
            },
        },
    }
}

/// No front server ends its input, so a server that waits for that waits indefinitely.
fn late(expect: Expect, answer: &Answer, usual: u16) -> Verdict {
    let legal = matches!(expect, Expect::Answer | Expect::AnswerOrLimit);
    let mark = if legal { Mark::Failed } else { Mark::Lenient };
    let refused = match answer {
        Answer::Reply(reply) => reply.status() >= 400 && reply.status() != usual,
        _ => true,
    };
    let then = if refused { "refuses" } else { "answers" };
    Verdict::new(mark, format!("waits for more; {then} at the end of input"))
}

fn answered(severity: Severity, answer: &Answer, usual: u16, may_limit: bool) -> Verdict {
    let otherwise = Mark::of(severity);
    match answer {
        Answer::Reply(reply) => match reply.status() {
            status @ (413 | 414 | 431) if may_limit => {
                Verdict::new(Mark::Passed, format!("over its limit: {status}"))
            }
            // The program's own words on a method it does not have.
            status @ (405 | 501) => Verdict::new(Mark::Passed, status.to_string()),
            status @ (400 | 411 | 413 | 414 | 431 | 500..) if status != usual => {
                Verdict::new(otherwise, format!("refused: {status}"))
            }
            status => Verdict::new(Mark::Passed, status.to_string()),
        },
        Answer::Closed => Verdict::new(otherwise, "closed without a reply"),
        answer => Verdict::new(otherwise, broken(answer)),
    }
}

fn refused(answer: &Answer) -> Verdict {
    match answer {
        Answer::Reply(reply) => match reply.status() {
            status @ (400..500 | 501 | 505) => {
                Verdict::new(Mark::Passed, format!("refused: {status}"))
            }
            status @ 500.. => Verdict::new(
                Mark::Lenient,
                format!("answered {status}: the client's fault, not its"),
            ),
            status => Verdict::new(Mark::Lenient, format!("accepted: {status}")),
        },
        Answer::Closed => Verdict::new(Mark::Passed, "refused: closed"),
        answer => Verdict::new(Mark::Lenient, broken(answer)),
    }
}

fn either(answer: &Answer) -> Verdict {
    match answer {
        Answer::Reply(reply) if reply.status() < 400 => {
            Verdict::new(Mark::Passed, format!("accepted: {}", reply.status()))
        }
        Answer::Reply(reply) => Verdict::new(Mark::Passed, format!("refused: {}", reply.status())),
        Answer::Closed => Verdict::new(Mark::Passed, "refused: closed"),
        answer => Verdict::new(Mark::Lenient, broken(answer)),
    }
}

/// What is wrong with the head of a 101, if `protocol` was asked for.
pub(crate) fn fault_of_switch(head: &ResponseHead, protocol: &str) -> Option<String> {
    let Some(chosen) = head.fields().first("Upgrade") else {
        return Some("101 without Upgrade: clients refuse it".into());
    };
    let is_offered =
        protocol.split(',').any(|name| name.trim().as_bytes().eq_ignore_ascii_case(chosen));
    (!is_offered)
        .then(|| format!("101 with the Upgrade {}, which was not offered", Escaped(chosen)))
}

fn broken(answer: &Answer) -> String {
    match answer {
        Answer::Broken(why) => format!("no CGI response: {why}"),
        _ => "no CGI response".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::exchange::Reply;
    use scgi_proto::Status;

    fn reply(status: u16) -> Answer {
        Answer::Reply(Box::new(Reply {
            head: ResponseHead::new(Status::new(status).expect("a status")),
            has_status_line: false,
            body: 0,
            surplus: 0,
            closed: true,
        }))
    }

    fn mark(expect: Expect, severity: Severity, answer: Answer, late: bool) -> Mark {
        judge(expect, severity, &Exchange { answer, late }, 200).mark
    }

    #[test]
    fn marks() {
        use Expect::{Answer as Reply, AnswerOrLimit, Either, NoSwitch, Refuse, Switch};
        use Mark::{Failed, Lenient, Passed};
        use Severity::{Must, Should};
        let switched =
            || Answer::Switched(Box::new(ResponseHead::new(Status::SWITCHING_PROTOCOLS)));
        for (expect, severity, answer, expected) in [
            (NoSwitch, Must, switched(), Failed),
            (NoSwitch, Should, switched(), Lenient),
            (NoSwitch, Must, reply(200), Passed),
            (NoSwitch, Must, reply(400), Passed),
            (NoSwitch, Must, Answer::Closed, Passed),
            (Switch, Must, switched(), Passed),
            (Switch, Must, reply(200), Passed),
            (Switch, Must, reply(426), Passed),
            (Switch, Must, Answer::Closed, Passed),
            (Switch, Must, Answer::Broken(String::new()), Lenient),
            (Reply, Must, switched(), Failed),
            (Reply, Must, reply(200), Passed),
            (Reply, Must, reply(404), Passed),
            (Reply, Must, reply(405), Passed),
            (Reply, Must, reply(400), Failed),
            (Reply, Must, reply(500), Failed),
            (Reply, Should, reply(400), Lenient),
            (Reply, Must, reply(413), Failed),
            (AnswerOrLimit, Must, reply(413), Passed),
            (Reply, Must, Answer::Closed, Failed),
            (Reply, Should, Answer::Closed, Lenient),
            (Reply, Must, Answer::Broken(String::new()), Failed),
            (Refuse, Should, reply(400), Passed),
            (Refuse, Should, Answer::Closed, Passed),
            (Refuse, Should, reply(200), Lenient),
            (Refuse, Should, reply(302), Lenient),
            (Refuse, Should, reply(500), Lenient),
            (Refuse, Should, Answer::Broken(String::new()), Lenient),
            (Either, Should, reply(200), Passed),
            (Either, Should, reply(400), Passed),
            (Either, Should, Answer::Closed, Passed),
        ] {
            let shown = format!("{expect:?} {severity:?} {answer:?}");
            assert_eq!(mark(expect, severity, answer, false), expected, "{shown}");
        }
        for expect in [Reply, AnswerOrLimit, Refuse, Either, Expect::Survive] {
            for silent in [
                Answer::Silence(0),
                Answer::Silence(9),
                Answer::NoConnection(std::io::ErrorKind::NotFound.into()),
            ] {
                assert_eq!(mark(expect, Should, silent, true), Failed, "{expect:?}");
            }
        }
        assert_eq!(mark(Refuse, Should, Answer::Closed, true), Lenient);
        assert_eq!(mark(Reply, Should, reply(200), true), Failed);
    }

    #[test]
    fn heads_of_a_101() {
        let head = |chosen: &[&str]| {
            let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS);
            chosen.iter().fold(head, |head, name| head.with_field("Upgrade", name))
        };
        assert_eq!(fault_of_switch(&head(&["WebSocket"]), "echo, websocket"), None);
        for (chosen, fault) in [(&[][..], "101 without"), (&["h2c"], "with the Upgrade h2c, which")]
        {
            let found = fault_of_switch(&head(chosen), "websocket").expect("a fault");
            assert!(found.contains(fault), "{found}");
        }
    }

    #[test]
    fn a_status_that_is_usual_is_no_refusal() {
        let exchange = Exchange { answer: reply(500), late: false };
        assert_eq!(judge(Expect::Answer, Severity::Must, &exchange, 500).mark, Mark::Passed);
    }
}
