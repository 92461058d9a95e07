//! The HTTP layer under `object_store`: it notes what a refused request was answered, and hides foreign keys.
//!
//! The library's errors keep neither the code nor the number of the request, and one key that is no path of its own
//! (`a//b`) makes its listing fail.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::sync::Once;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};

/// The headers in which services return the number of a request.
const REQUEST_IDS: [&str; 3] = ["x-amz-request-id", "x-guploader-uploadid", "x-ms-request-id"];

/// The last answer to the requests of a task.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// The status; `None` without an answer.
    pub status: Option<StatusCode>,
    /// The kind of the failure, where no answer came.
    pub failure: Option<HttpErrorKind>,
    /// The obstacle to a connection, where none was made.
    pub obstacle: Option<Obstacle>,
    /// The host that was asked, with its port: the store, or the service of this machine that gives credentials.
    pub host: String,
    /// The number of the request.
    pub request_id: Option<String>,
    /// The time of the answer, in microseconds since 1970, by the clock of the store.
    pub date: Option<i64>,
    /// The service's code for the error, as `NoSuchBucket`.
    pub code: Option<String>,
    /// The service's sentence.
    pub message: Option<String>,
}

/// The obstacle to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing listens at the port.
    Refused,
    /// The name of the host has no address.
    NoAddress,
    /// The handshake of TLS failed, with this error.
    Tls(String),
}

impl Obstacle {
    /// Return the obstacle in the causes of an error.
    fn of(error: &HttpError) -> Option<Self> {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::Tls(error.to_string()));
            }
            if error.downcast_ref::<io::Error>().is_some_and(is_refused) {
                return Some(Self::Refused);
            }
            // The type of this error is private.
            if error.to_string().starts_with("dns error") {
                return Some(Self::NoAddress);
            }
            cause = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .map_or_else(|| error.source(), |inner| Some(inner));
        }
        None
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

tokio::task_local! {
    static LAST: RefCell<Answered>;
}

/// Run a future, and return its outcome with the last answer to a request in it.
pub async fn noted<T>(future: impl Future<Output = T>) -> (T, Answered) {
    LAST.scope(RefCell::default(), async {
        let outcome = future.await;
        (outcome, LAST.with(RefCell::take))
    })
    .await
}

/// Note the last answer to the requests of this task.
pub fn note(answered: Answered) {
    // A request for credentials may run in a task of its own.
    let _ = LAST.try_with(|last| last.replace(answered));
}

/// The connector of all stores.
#[derive(Debug)]
pub struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        static INSTALLED: Once = Once::new();
        // Another library of the process may have installed one.
        INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        Ok(HttpClient::new(Service(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Service(HttpClient);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_list = is_list(&request);
        let host = request.uri().authority().map(|host| host.as_str().to_owned()).unwrap_or_default();
        let response = match self.0.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                let (failure, obstacle) = (Some(error.kind()), Obstacle::of(&error));
                note(Answered { failure, obstacle, host, ..Answered::default() });
                return Err(error);
            }
        };
        let status = response.status();
        let (status, request_id) = (Some(status), request_id(response.headers()));
        let date = date(response.headers());
        if !response.status().is_client_error() && !response.status().is_server_error() {
            note(Answered { status, host, request_id, date, ..Answered::default() });
            if !is_list {
                return Ok(response);
            }
            let (head, body) = response.into_parts();
            let body = body.bytes().await?;
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::from(without_foreign_keys(body))));
        }
        let (head, body) = response.into_parts();
        let body = body.bytes().await.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let (code, message) = (element(&text, "Code"), element(&text, "Message"));
        note(Answered { status, host, request_id, date, code, message, ..Answered::default() });
        Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)))
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let header = REQUEST_IDS.iter().find_map(|name| headers.get(*name));
    header.and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Return the time of an answer, in microseconds since 1970.
fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get("date")?.to_str().ok()?;
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.timestamp_micros())
}

/// Return `true` for the request of a page of keys.
fn is_list(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    *request.method() == Method::GET
        && query.split('&').any(|pair| pair.starts_with("list-type=") || pair == "comp=list")
}

/// Return the text of the first element of a name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = after.split_once(&format!("</{name}>"))?;
    Some(inner.to_owned())
}

/// Remove the entries of a page whose keys are not paths of results: no save makes them.
fn without_foreign_keys(page: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&page) else { return page };
    let Some(entry) = ["Contents", "Blob"].into_iter().find(|name| text.contains(&format!("<{name}>")))
    else {
        return page;
    };
    let (open, close) = (format!("<{entry}>"), format!("</{entry}>"));
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&open) {
        kept.push_str(before);
        let Some((inner, after)) = after.split_once(&close) else {
            return page;
        };
        let key = element(inner, if entry == "Blob" { "Name" } else { "Key" }).unwrap_or_default();
        if is_path(&key) {
            kept.extend([&*open, inner, &*close]);
        }
        rest = after;
    }
    kept.push_str(rest);
    kept.into()
}

/// Return `true` for a key that is a path of names.
fn is_path(key: &str) -> bool {
    key.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_without_foreign_keys_keeps_the_others() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let page = |keys: &[&str]| {
            format!("<R><N>x</N>{}<T>false</T></R>", keys.iter().map(|key| entry(key)).collect::<String>())
        };
        let kept = without_foreign_keys(page(&["a/b", "a//b", "c/", "/d", "e/../f", "g&amp;h/i"]).into());
        assert_eq!(kept, page(&["a/b", "g&amp;h/i"]).as_bytes());
        let empty = page(&[]);
        assert_eq!(without_foreign_keys(empty.clone().into()), empty.as_bytes());
    }
}
