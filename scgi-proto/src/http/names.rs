//! Finds the constants for the names of common headers by length and bytes.

use ::http::HeaderName;
use ::http::header;

/// What becomes of a variable, without its `HTTP_`.
#[derive(Clone, Copy)]
pub(super) enum Known {
    /// It makes no header; see [`is_left_out`](super::headers::is_left_out).
    LeftOut,
    /// A header that may appear several times.
    List(&'static HeaderName),
    /// A header that may appear only once: the last one counts.
    Single(&'static HeaderName),
    /// The same, whose value must not be shown.
    SingleSecret(&'static HeaderName),
    /// A list of secrets.
    ListSecret(&'static HeaderName),
}

// Those that `http` has constants for. A reference to one is moved with fewer steps than a name.
static ACCEPT: HeaderName = header::ACCEPT;
static ACCEPT_ENCODING: HeaderName = header::ACCEPT_ENCODING;
static ACCEPT_LANGUAGE: HeaderName = header::ACCEPT_LANGUAGE;
static AUTHORIZATION: HeaderName = header::AUTHORIZATION;
static CACHE_CONTROL: HeaderName = header::CACHE_CONTROL;
static CONTENT_ENCODING: HeaderName = header::CONTENT_ENCODING;
static COOKIE: HeaderName = header::COOKIE;
static DATE: HeaderName = header::DATE;
static DNT: HeaderName = header::DNT;
static FROM: HeaderName = header::FROM;
static HOST: HeaderName = header::HOST;
static IF_MATCH: HeaderName = header::IF_MATCH;
static IF_MODIFIED_SINCE: HeaderName = header::IF_MODIFIED_SINCE;
static IF_NONE_MATCH: HeaderName = header::IF_NONE_MATCH;
static IF_RANGE: HeaderName = header::IF_RANGE;
static ORIGIN: HeaderName = header::ORIGIN;
static PRAGMA: HeaderName = header::PRAGMA;
static RANGE: HeaderName = header::RANGE;
static REFERER: HeaderName = header::REFERER;
static UPGRADE_INSECURE_REQUESTS: HeaderName = header::UPGRADE_INSECURE_REQUESTS;
static USER_AGENT: HeaderName = header::USER_AGENT;

/// What browsers send about a request (Fetch Metadata), and proxies about browsers, which `http`
/// has no constants for.
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_USER: HeaderName = HeaderName::from_static("sec-fetch-user");
static SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");
static SEC_CH_UA_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
static SEC_CH_UA_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
static PRIORITY: HeaderName = HeaderName::from_static("priority");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Looks a usual variable up; `None` says nothing of it.
pub(super) fn known(variable: &[u8]) -> Option<Known> {
    use Known::{LeftOut, List, ListSecret, Single, SingleSecret};
    // By length first, so that few names are compared.
    Some(match variable.len() {
        2 if variable == b"TE" => LeftOut,
        3 if variable == b"DNT" => Single(&DNT),
        4 => match variable {
            b"HOST" => Single(&HOST),
            b"DATE" => Single(&DATE),
            b"FROM" => Single(&FROM),
            _ => return None,
        },
        5 => match variable {
            b"RANGE" => Single(&RANGE),
            b"PROXY" => LeftOut,
            _ => return None,
        },
        6 => match variable {
            b"ACCEPT" => List(&ACCEPT),
            b"COOKIE" => ListSecret(&COOKIE),
            b"ORIGIN" => Single(&ORIGIN),
            b"PRAGMA" => List(&PRAGMA),
            b"EXPECT" => LeftOut,
            _ => return None,
        },
        7 => match variable {
            b"REFERER" => Single(&REFERER),
            b"UPGRADE" => LeftOut,
            _ => return None,
        },
        8 => match variable {
            b"IF_MATCH" => List(&IF_MATCH),
            b"IF_RANGE" => Single(&IF_RANGE),
            b"PRIORITY" => List(&PRIORITY),
            _ => return None,
        },
        9 => match variable {
            b"SEC_CH_UA" => List(&SEC_CH_UA),
            b"X_REAL_IP" => List(&X_REAL_IP),
            _ => return None,
        },
        10 => match variable {
            b"USER_AGENT" => Single(&USER_AGENT),
            b"CONNECTION" | b"KEEP_ALIVE" => LeftOut,
            _ => return None,
        },
        12 if variable == b"CONTENT_TYPE" => LeftOut,
        13 => match variable {
            b"CACHE_CONTROL" => List(&CACHE_CONTROL),
            b"AUTHORIZATION" => SingleSecret(&AUTHORIZATION),
            b"IF_NONE_MATCH" => List(&IF_NONE_MATCH),
            _ => return None,
        },
        14 => match variable {
            b"CONTENT_LENGTH" => LeftOut,
            b"SEC_FETCH_DEST" => List(&SEC_FETCH_DEST),
            b"SEC_FETCH_MODE" => List(&SEC_FETCH_MODE),
            b"SEC_FETCH_SITE" => List(&SEC_FETCH_SITE),
            b"SEC_FETCH_USER" => List(&SEC_FETCH_USER),
            _ => return None,
        },
        15 => match variable {
            b"ACCEPT_ENCODING" => List(&ACCEPT_ENCODING),
            b"ACCEPT_LANGUAGE" => List(&ACCEPT_LANGUAGE),
            b"X_FORWARDED_FOR" => List(&X_FORWARDED_FOR),
            _ => return None,
        },
        16 => match variable {
            b"CONTENT_ENCODING" => List(&CONTENT_ENCODING),
            b"SEC_CH_UA_MOBILE" => List(&SEC_CH_UA_MOBILE),
            b"X_FORWARDED_HOST" => List(&X_FORWARDED_HOST),
            b"X_REQUESTED_WITH" => List(&X_REQUESTED_WITH),
            _ => return None,
        },
        17 => match variable {
            b"IF_MODIFIED_SINCE" => Single(&IF_MODIFIED_SINCE),
            b"TRANSFER_ENCODING" => LeftOut,
            b"X_FORWARDED_PROTO" => List(&X_FORWARDED_PROTO),
            _ => return None,
        },
        18 if variable == b"SEC_CH_UA_PLATFORM" => List(&SEC_CH_UA_PLATFORM),
        25 if variable == b"UPGRADE_INSECURE_REQUESTS" => Single(&UPGRADE_INSECURE_REQUESTS),
        _ => return None,
    })
}
