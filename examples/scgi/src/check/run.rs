//! Carrying the cases out, one after the other.

use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::Address;
use scgi_proto::BoxError;

use super::cases::{Case, Expect, Play, numbered, valid_upgrade};
use super::draft::Good;
use super::exchange::{Answer, Exchange, Reply, Step, exchange, exchange_head, leave};
use super::judge::{Mark, Verdict, fault_of_switch, judge};
use super::tunnel::{Tunnel, ask};
use crate::failure::cannot_connect;
use crate::socket::Socket;

/// Long enough that the two pieces arrive apart, short enough for some hundred of them.
const SPLIT_PAUSE: Duration = Duration::from_millis(2);

const RESTART_POLL: Duration = Duration::from_millis(200);

/// What is checked, and how.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) good: Good,
    pub(crate) timeout: Duration,
}

/// A case and how it went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) number: usize,
    pub(crate) group: &'static str,
    pub(crate) case: &'static Case,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

/// Runs the cases whose number is among `only`, or all if that is empty. Each outcome is shown
/// as soon as it is there.
pub(crate) fn run(
    target: &Target,
    only: &[usize],
    mut show: impl FnMut(&Outcome) -> Result<(), BoxError>,
) -> Result<Vec<Outcome>, BoxError> {
    let usual = target.usual_status()?;
    let mut outcomes = Vec::new();
    let mut runner = Runner { target, usual, gone: false };
    for (number, group, case) in numbered() {
        if !only.is_empty() && !only.contains(&number) {
            continue;
        }
        let started = Instant::now();
        let verdict = runner.case(case);
        let outcome = Outcome { number, group, case, verdict, took: started.elapsed() };
        show(&outcome)?;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

impl Target {
    fn exchange(&self, steps: &[Step]) -> Exchange {
        exchange(&self.address, steps, self.timeout)
    }

    fn good(&self) -> Exchange {
        self.exchange(&[Step::Send(self.good.draft().bytes())])
    }

    /// The status of the reply to a good request. Without one, no case would tell anything.
    fn usual_status(&self) -> Result<u16, BoxError> {
        let address = &self.address;
        let what = match self.good().answer {
            Answer::Reply(reply) if reply.status() < 400 => return Ok(reply.status()),
            Answer::Reply(reply) => format!("answers {} to it", reply.status()),
            Answer::Closed => "closes without a reply".into(),
            Answer::Broken(why) => format!("sends no CGI response: {why}"),
            Answer::Switched(_) => "switches protocols".into(),
            Answer::Silence(0) => {
                let timeout = humantime::format_duration(self.timeout);
                // It waited twice: for the reply, and again behind the end of its input.
                let hint =
                    "it is stuck, or does not speak SCGI (an HTTP server waits for a line end)";
                return Err(format!(
                    "{address} accepts the connection but does not answer within {timeout}; {hint}"
                )
                .into());
            }
            Answer::Silence(_) => "sends no complete reply".into(),
            Answer::NoConnection(error) => return Err(cannot_connect(address, &error).into()),
        };
        let hint = "--uri, -X, -H, -p and -d make a request that it answers";
        Err(format!("{address} does not answer the good request but {what}; {hint}").into())
    }
}

struct Runner<'a> {
    target: &'a Target,
    usual: u16,
    /// Whether the last good request was not answered.
    gone: bool,
}

impl Runner<'_> {
    fn case(&mut self, case: &Case) -> Verdict {
        if self.gone && !self.is_back() {
            return Verdict::new(Mark::Failed, format!("not run: {}", self.why_gone()));
        }
        let mut verdict = self.play(case);
        // Whatever was done to it: a good request must be answered afterwards.
        self.gone = !self.is_well();
        if self.gone {
            verdict.mark = Mark::Failed;
            verdict.what.push_str("; then a good request is not answered");
        }
        verdict
    }

    fn is_well(&self) -> bool {
        let exchange = self.target.good();
        matches!(exchange.answer, Answer::Reply(reply) if reply.status() < 400 && !exchange.late)
    }

    /// Whether it refuses connections or takes them and says nothing: the fix is not the same.
    fn why_gone(&self) -> String {
        let timeout = self.target.timeout;
        match Socket::connect(&self.target.address, timeout) {
            Ok(_) => {
                let timeout = humantime::format_duration(timeout);
                format!("the backend accepts connections but does not answer within {timeout}")
            }
            Err(error) => format!("the backend is gone: {error}"),
        }
    }

    /// Waits for a backend that is being restarted.
    fn is_back(&self) -> bool {
        let deadline = Instant::now() + self.target.timeout;
        loop {
            if self.is_well() {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(RESTART_POLL);
        }
    }

    fn play(&self, case: &Case) -> Verdict {
        let target = self.target;
        match case.play {
            Play::Once(steps) => self.judge(case, &target.exchange(&steps(&target.good))),
            Play::Splits => self.splits(case),
            Play::AtOnce(count) => self.at_once(case, count),
            Play::AmongIdle(count) => self.among_idle(case, count),
            Play::Leave(steps) => {
                match leave(&target.address, &steps(&target.good), target.timeout) {
                    Ok(()) => Verdict::new(Mark::Passed, "continues"),
                    Err(error) => Verdict::new(Mark::Failed, format!("cannot connect: {error}")),
                }
            }
            Play::Look(look) => self.look(case, target.good(), look),
            Play::LookAtHead(look) => {
                let head = target.good.draft().set("REQUEST_METHOD", "HEAD").bytes();
                let exchange = exchange_head(&target.address, &[Step::Send(head)], target.timeout);
                self.look(case, exchange, look)
            }
            Play::Ask(draft) => self.ask(case, draft(&target.good).bytes()).0,
            Play::Tunnel { early, then } => self.tunnel(case, early, then),
            Play::AmongTunnels(count) => self.among_tunnels(case, count),
        }
    }

    /// A request that may be answered with a 101. With the tunnel if it was, and may have been.
    fn ask(&self, case: &Case, request: Vec<u8>) -> (Verdict, Option<Tunnel>) {
        let Target { address, good, timeout } = self.target;
        let (exchange, tunnel) = ask(address, request, *timeout);
        let verdict = self.judge(case, &exchange);
        match exchange.answer {
            Answer::Switched(head) if case.expect != Expect::NoSwitch => {
                match fault_of_switch(&head, &good.protocol) {
                    Some(fault) => (Verdict::new(Mark::of(case.severity), fault), None),
                    None => (verdict, tunnel),
                }
            }
            _ => (verdict, None),
        }
    }

    fn tunnel(
        &self,
        case: &Case,
        early: &[u8],
        then: fn(&mut Tunnel, Duration) -> Result<&'static str, String>,
    ) -> Verdict {
        let request = valid_upgrade(&self.target.good).bytes();
        let (verdict, tunnel) = self.ask(case, request.clone());
        let Some(mut tunnel) = tunnel else { return verdict };
        if !early.is_empty() {
            // Only now, as a server without upgrades may be confused by bytes behind a request.
            let (verdict, with_early) = self.ask(case, [&request, early].concat());
            let Some(with_early) = with_early else { return verdict };
            tunnel = with_early;
        }
        match then(&mut tunnel, self.target.timeout) {
            Ok(what) => Verdict::new(Mark::Passed, what),
            Err(fault) => Verdict::new(Mark::of(case.severity), fault),
        }
    }

    fn among_tunnels(&self, case: &Case, count: usize) -> Verdict {
        let request = valid_upgrade(&self.target.good).bytes();
        let mut tunnels = Vec::new();
        for _ in 0..count {
            match self.ask(case, request.clone()) {
                (_, Some(tunnel)) => tunnels.push(tunnel),
                // Also behind others: a server may bound them.
                (verdict, None) => return verdict,
            }
        }
        let verdict = judge(Expect::Answer, case.severity, &self.target.good(), self.usual);
        match verdict.mark {
            Mark::Passed => verdict,
            _ => Verdict::new(Mark::of(case.severity), "waits for the tunnels to close"),
        }
    }

    fn judge(&self, case: &Case, exchange: &Exchange) -> Verdict {
        judge(case.expect, case.severity, exchange, self.usual)
    }

    fn splits(&self, case: &Case) -> Verdict {
        let draft = self.target.good.draft();
        let bytes = draft.bytes();
        // Up to the first byte of the body: what comes later is cut in other cases.
        let places = 1..bytes.len().min(draft.head().len() + 2);
        let count = places.len();
        for place in places {
            let (first, second) = bytes.split_at(place);
            let steps =
                [Step::Send(first.into()), Step::Pause(SPLIT_PAUSE), Step::Send(second.into())];
            let verdict = self.judge(case, &self.target.exchange(&steps));
            if verdict.mark != Mark::Passed {
                return Verdict::new(verdict.mark, format!("cut at {place}: {}", verdict.what));
            }
        }
        Verdict::new(Mark::Passed, format!("{count} places"))
    }

    fn at_once(&self, case: &Case, count: usize) -> Verdict {
        let exchanges: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| self.target.good())).collect();
            // A thread that panicked counts as one that is missing.
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let verdicts = exchanges.iter().map(|exchange| self.judge(case, exchange));
        let bad: Vec<_> = verdicts.filter(|verdict| verdict.mark != Mark::Passed).collect();
        match bad.first() {
            None if exchanges.len() == count => {
                Verdict::new(Mark::Passed, format!("{count} replies"))
            }
            first => {
                let what = first.map_or("", |verdict| verdict.what.as_str());
                let missing = count - exchanges.len() + bad.len();
                Verdict::new(Mark::of(case.severity), format!("{missing} of {count}: {what}"))
            }
        }
    }

    fn among_idle(&self, case: &Case, count: usize) -> Verdict {
        let Target { address, timeout, .. } = self.target;
        let idle: Result<Vec<_>, _> =
            (0..count).map(|_| Socket::connect(address, *timeout)).collect();
        let verdict = match &idle {
            Ok(_) => self.judge(case, &self.target.good()),
            Err(error) => Verdict::new(Mark::Failed, format!("cannot connect: {error}")),
        };
        // That one request waits behind others is weak, not fatal, as long as it is answered later.
        match verdict.mark {
            Mark::Passed => verdict,
            _ => Verdict::new(Mark::of(case.severity), "waits for the idle ones to close"),
        }
    }

    fn look(
        &self,
        case: &Case,
        exchange: Exchange,
        look: fn(&Reply) -> Result<(), String>,
    ) -> Verdict {
        let verdict = self.judge(case, &exchange);
        match exchange.answer {
            Answer::Reply(reply) if verdict.mark == Mark::Passed => match look(&reply) {
                Ok(()) => verdict,
                Err(fault) => Verdict::new(Mark::of(case.severity), fault),
            },
            _ => verdict,
        }
    }
}
