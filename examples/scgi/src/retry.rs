//! `--retry`: decides which requests are sent again, and after how long.

use std::time::Duration;

use crate::plan::Plan;
use crate::reply::Reply;

/// The answers of a server that is busy or that restarts.
const STATUSES: [u16; 5] = [408, 429, 502, 503, 504];

/// The longest pause before the next attempt.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a response of this status is tried again, if its request was safe.
pub(crate) fn is_temporary(status: u16) -> bool {
    STATUSES.contains(&status)
}

/// Whether a request that failed may be sent again: nothing of it was sent, or it changes nothing
/// and no head of a response came.
pub(crate) fn may_follow(plan: &Plan, reply: &Reply) -> bool {
    reply.was_not_connected() || (plan.is_safe() && !reply.has_head())
}

/// How long to wait after so many attempts: 1 s, 2 s, 4 s ... 60 s.
pub(crate) fn pause(attempts: u32) -> Duration {
    let seconds = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<_> = (1..9).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
