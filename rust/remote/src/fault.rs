//! Failed requests, each as one sentence with its remedy.

use std::io::ErrorKind;
use std::path::PathBuf;

use http::StatusCode;
use llem_store::{Error, Step};
use object_store::client::HttpErrorKind;

use crate::http::{Answered, Obstacle};

/// The beginning of the error of a credential provider.
pub const PROVIDER_FAILED: &str = "credential_provider failed: ";
/// The hosts that give the credentials of a machine in a cloud.
const CREDENTIAL_HOSTS: [&str; 4] =
    ["169.254.169.254", "169.254.170.2", "metadata.google.internal", "metadata"];
/// The codes of S3 and STS for credentials that have expired.
const EXPIRED: [&str; 3] = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];
/// Maximum characters of a service's sentence.
const MAX_MESSAGE: usize = 200;

/// Whether a failed request had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// None, and none if it is sent again.
    Refused,
    /// None: it never reached the store.
    NotSent,
    /// None, and it can be sent again, more slowly.
    SlowDown,
    /// It may have had it, or may have it later.
    Lost,
}

/// Return the effect of a request that failed.
pub fn effect(answered: &Answered) -> Effect {
    match (answered.status, answered.failure) {
        (Some(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS), _) => Effect::SlowDown,
        // S3 gives up on a body that arrives too slowly.
        (Some(StatusCode::BAD_REQUEST), _) if is(answered, &["RequestTimeout"]) => Effect::Lost,
        // An answer of success broke off, or has no ETag: the request had its effect.
        (Some(status), _)
            if status == StatusCode::REQUEST_TIMEOUT || status.is_server_error() || status.is_success() =>
        {
            Effect::Lost
        }
        (None, Some(HttpErrorKind::Connect)) => Effect::NotSent,
        (None, Some(_)) => Effect::Lost,
        // Without any answer, the library has failed before it sent the request: it has no credentials.
        (Some(_) | None, _) => Effect::Refused,
    }
}

/// Return `true` where the credentials have expired, so that the request had no effect.
pub fn is_expired(answered: &Answered) -> bool {
    is(answered, &EXPIRED) || answered.status == Some(StatusCode::UNAUTHORIZED)
}

fn is(answered: &Answered, codes: &[&str]) -> bool {
    answered.code.as_deref().is_some_and(|code| codes.contains(&code))
}

/// Return the error of a failed request; `said` is the library's text, for a failure before the request.
pub fn error(step: Step, url: PathBuf, answered: &Answered, said: &str) -> Error {
    let (kind, reason) = explain(answered, said);
    // The answer of a service for credentials is not one of the store.
    let of_store = Some(answered).filter(|answered| !is_credential_host(&answered.host));
    Error::Remote {
        step,
        url,
        status: of_store.and_then(|answered| answered.status).map(|status| status.as_u16()),
        request_id: of_store.and_then(|answered| answered.request_id.clone()),
        kind,
        reason,
    }
}

/// Return an error that no answer caused.
pub fn plain(step: Step, url: PathBuf, kind: ErrorKind, reason: impl Into<String>) -> Error {
    Error::Remote { step, url, status: None, request_id: None, kind, reason: reason.into() }
}

fn explain(answered: &Answered, said: &str) -> (ErrorKind, String) {
    let code = answered.code.as_deref().unwrap_or_default();
    let host = &answered.host;
    if let Some((_, reason)) = said.split_once(PROVIDER_FAILED) {
        return (ErrorKind::PermissionDenied, format!("{PROVIDER_FAILED}{}", shortened(reason)));
    }
    if is_credential_host(host) || is_about_credentials(answered, said) {
        let text = "no credentials were found; set them in the environment (AWS_ACCESS_KEY_ID, ...), or pass options \
                    or credential_provider";
        return (ErrorKind::PermissionDenied, text.into());
    }
    let Some(status) = answered.status else {
        return match answered.failure {
            Some(HttpErrorKind::Connect) => unreachable(host, answered.obstacle.as_ref()),
            Some(HttpErrorKind::Timeout) => (ErrorKind::TimedOut, format!("{host} did not answer in time")),
            Some(_) => {
                (ErrorKind::ConnectionAborted, format!("{host} closed the connection without an answer"))
            }
            None => (ErrorKind::Other, format!("the request could not be made: {}", shortened(said))),
        };
    };
    match (code, status) {
        (code, _) if EXPIRED.contains(&code) => (
            ErrorKind::PermissionDenied,
            "the credentials have expired; renew them, or pass credential_provider, which is asked again"
                .into(),
        ),
        ("RequestTimeTooSkewed", _) => (
            ErrorKind::PermissionDenied,
            "the clock of this machine differs too much from that of the store; set it".into(),
        ),
        ("InvalidAccessKeyId", _) => (
            ErrorKind::PermissionDenied,
            "the store does not know the access key; check it, and the endpoint".into(),
        ),
        ("SignatureDoesNotMatch", _) => {
            (ErrorKind::PermissionDenied, "the secret does not fit the access key; check both".into())
        }
        ("InvalidToken" | "AuthenticationFailed", _) | (_, StatusCode::UNAUTHORIZED) => (
            ErrorKind::PermissionDenied,
            format!(
                "the store does not accept the credentials ({}); check the key and its secret",
                named(code, status)
            ),
        ),
        ("NoSuchBucket" | "ContainerNotFound", _) => (
            ErrorKind::NotFound,
            "the bucket does not exist; create it, or check its name and the endpoint".into(),
        ),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
        | (_, StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT) => (
            ErrorKind::InvalidInput,
            "the bucket is in another region; set AWS_REGION, or pass options={\"region\": ...}".into(),
        ),
        (_, StatusCode::FORBIDDEN) => (
            ErrorKind::PermissionDenied,
            format!(
                "the credentials do not have this permission ({}); grant it, or use others",
                named(code, status)
            ),
        ),
        (_, StatusCode::NOT_FOUND) => (ErrorKind::NotFound, "there is no such object".into()),
        (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => (
            ErrorKind::ResourceBusy,
            format!("the store is too busy ({}); try again later", named(code, status)),
        ),
        _ => {
            let kind = if status.is_server_error() { ErrorKind::Other } else { ErrorKind::InvalidInput };
            let message = answered.message.as_deref().map(shortened).unwrap_or_default();
            let separator = if message.is_empty() { "" } else { ": " };
            (kind, format!("the store answered {}{separator}{message}", named(code, status)))
        }
    }
}

/// Return the kind and the reason of a failed connection.
fn unreachable(host: &str, obstacle: Option<&Obstacle>) -> (ErrorKind, String) {
    match obstacle {
        Some(Obstacle::Refused) => (
            ErrorKind::ConnectionRefused,
            format!("the connection to {host} was refused; start the service, or check the endpoint"),
        ),
        Some(Obstacle::NoAddress) => (
            ErrorKind::NotConnected,
            format!("the host {host} was not found; check the endpoint and the network"),
        ),
        Some(Obstacle::Tls(said)) => (
            ErrorKind::NotConnected,
            format!(
                "no TLS connection to {host} ({}); check the certificate, or http:// in the endpoint",
                shortened(said)
            ),
        ),
        None => {
            (ErrorKind::NotConnected, format!("no connection to {host}; check the endpoint and the network"))
        }
    }
}

/// Return `true` for the error of a store that no connection reached.
pub fn is_unreachable(error: &Error) -> bool {
    [ErrorKind::NotConnected, ErrorKind::ConnectionRefused].iter().any(|kind| error.is_io(*kind))
}

fn is_credential_host(host: &str) -> bool {
    CREDENTIAL_HOSTS.contains(&host.split(':').next().unwrap_or_default())
}

/// Return `true` where the library could not get credentials.
fn is_about_credentials(answered: &Answered, said: &str) -> bool {
    answered.status.is_none()
        && answered.failure.is_none()
        && ["redential", "token", "Metadata"].iter().any(|word| said.contains(word))
}

fn named(code: &str, status: StatusCode) -> String {
    if code.is_empty() { status.as_u16().to_string() } else { format!("{} {code}", status.as_u16()) }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str) -> Answered {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        Answered { status: StatusCode::from_u16(status).ok(), code, host: "h".into(), ..Answered::default() }
    }

    #[test]
    fn effect_of_an_answer_that_broke_off_is_not_known() {
        assert_eq!(effect(&answered(200, "")), Effect::Lost);
        assert_eq!(effect(&answered(500, "")), Effect::Lost);
        assert_eq!(effect(&answered(400, "RequestTimeout")), Effect::Lost);
        assert_eq!(effect(&answered(503, "SlowDown")), Effect::SlowDown);
        assert_eq!(effect(&answered(403, "AccessDenied")), Effect::Refused);
        let refused = Answered { failure: Some(HttpErrorKind::Connect), ..Answered::default() };
        assert_eq!(effect(&refused), Effect::NotSent);
    }

    #[test]
    fn explain_names_the_remedy() {
        for (status, code, remedy) in [
            (400, "ExpiredToken", "renew them"),
            (403, "RequestTimeTooSkewed", "clock"),
            (403, "InvalidAccessKeyId", "check it"),
            (403, "SignatureDoesNotMatch", "check both"),
            (404, "NoSuchBucket", "create it"),
            (301, "PermanentRedirect", "AWS_REGION"),
            (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
            (403, "AccessDenied", "grant it"),
            (404, "NoSuchKey", "no such object"),
            (503, "SlowDown", "try again later"),
        ] {
            let (_, reason) = explain(&answered(status, code), "");
            assert!(reason.contains(remedy) && reason.lines().count() == 1, "{code}: {reason}");
        }
        for (obstacle, remedy) in [
            (Some(Obstacle::Refused), "start the service"),
            (Some(Obstacle::NoAddress), "not found"),
            (Some(Obstacle::Tls("invalid".into())), "(invalid); check the certificate"),
            (None, "check the endpoint"),
        ] {
            let failure = Some(HttpErrorKind::Connect);
            let answered = Answered { failure, obstacle, host: "h:1".into(), ..Answered::default() };
            let (_, reason) = explain(&answered, "");
            assert!(reason.contains(remedy) && reason.contains("h:1"), "{reason}");
        }
        let (_, reason) = explain(&Answered::default(), "Generic: credential_provider failed: KeyError");
        assert_eq!(reason, "credential_provider failed: KeyError");
    }

    #[test]
    fn error_of_a_credential_service_has_no_status_of_the_store() {
        let answered = Answered { host: "169.254.169.254:80".into(), ..answered(403, "") };
        let error = error(Step::Commit, "s3://b".into(), &answered, "");
        assert!(matches!(&error, Error::Remote { status: None, .. }), "{error:?}");
        assert!(error.to_string().contains("no credentials were found"), "{error}");
    }
}
