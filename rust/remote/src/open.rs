//! The client of a URL, with options, the environment, and credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::azure::{AzureConfigKey, AzureCredential, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientOptions, CredentialProvider, ObjectStore, RetryConfig};
use tokio::sync::Mutex;

use crate::client::{Client, Renewal};
use crate::fault::PROVIDER_FAILED;
use crate::http::Connector;

/// The address of Azure's emulator.
const EMULATOR: &str = "http://127.0.0.1:10000";
/// The time before their end at which credentials are renewed.
const MARGIN: Duration = Duration::from_secs(60);

/// The reason why a URL cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

/// A function that returns credentials by name: `access_key_id`, `secret_access_key`, `token`, `access_key`, ...; and the
/// time when they expire.
pub type Provide = dyn Fn() -> Result<(BTreeMap<String, String>, Option<SystemTime>), String> + Send + Sync;

/// Options by name; their values may be secrets.
pub type Options = BTreeMap<String, String>;

/// The service of a URL's scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// A URL, divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'u> {
    /// The service.
    pub service: Service,
    /// The bucket or container.
    pub bucket: &'u str,
    /// The key of the root, without a slash at its ends.
    pub prefix: &'u str,
}

impl<'u> Place<'u> {
    /// Divide a URL.
    ///
    /// # Errors
    ///
    /// The scheme is unknown, or there is no bucket.
    pub fn of(url: &'u str) -> Result<Self, OpenError> {
        let expected =
            |got: &str| OpenError(format!("expected a URL s3://, gs:// or az://, and a bucket, got {got:?}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| expected(url))?;
        let service = match scheme {
            "s3" => Service::S3,
            "gs" => Service::Google,
            "az" => Service::Azure,
            _ => return Err(expected(url)),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(expected(url));
        }
        Ok(Self { service, bucket, prefix: prefix.trim_matches('/') })
    }
}

/// A function that returns credentials, and the wish for new ones.
type Provision = (Arc<Provide>, Arc<Renewal>);

/// Make the client of a URL; send nothing.
///
/// # Errors
///
/// The URL or an option is not valid.
pub fn open(url: &str, options: &Options, provide: Option<Arc<Provide>>) -> Result<Client, OpenError> {
    let place = Place::of(url)?;
    let renewal = provide.is_some().then(Arc::<Renewal>::default);
    let provide = provide.zip(renewal.clone());
    let (store, unknown_service) = match place.service {
        Service::S3 => s3(&place, options, provide)?,
        Service::Google => google(&place, options, provide)?,
        Service::Azure => azure(&place, options, provide)?,
    };
    let url = url.trim_end_matches('/');
    Ok(Client {
        store,
        url: url.into(),
        prefix: place.prefix.into(),
        pace: Arc::default(),
        turns: Arc::default(),
        renewal,
        unknown_service: unknown_service.map(Into::into),
    })
}

/// The options of all clients. Each request has a limit of its own, which depends on its bytes.
fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5))
        .with_allow_http(true)
}

/// The library sends nothing again: a conditional PUT that was sent twice meets itself.
fn no_retry() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn unknown(name: &str) -> OpenError {
    OpenError(format!("options has the unknown name {name:?}; see the options of the object_store library"))
}

fn invalid(error: &object_store::Error, options: &Options) -> OpenError {
    let mut text = error.to_string();
    for value in options.values().filter(|value| value.len() > 3) {
        text = text.replace(value.as_str(), "***");
    }
    OpenError(format!("the object store cannot be opened: {text}"))
}

/// The client of the library, and the address of a service that is not known to honour the conditions of requests.
type Opened = (Arc<dyn ObjectStore>, Option<String>);

fn opened(
    built: object_store::Result<impl ObjectStore>,
    options: &Options,
    unknown_service: Option<String>,
) -> Result<Opened, OpenError> {
    let store = built.map_err(|error| invalid(&error, options))?;
    Ok((Arc::new(store), unknown_service))
}

/// Return `true` for an endpoint of Amazon S3 or Cloudflare R2.
fn is_of_known_service(endpoint: &str) -> bool {
    let rest = endpoint.strip_prefix("https://").unwrap_or_default();
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".r2.cloudflarestorage.com"].iter().any(|domain| host.ends_with(domain))
}

fn s3(place: &Place<'_>, options: &Options, provide: Option<Provision>) -> Result<Opened, OpenError> {
    let mut builder = AmazonS3Builder::from_env().with_client_options(client_options());
    for (name, value) in options {
        let key: AmazonS3ConfigKey = name.to_lowercase().parse().map_err(|_| unknown(name))?;
        builder = builder.with_config(key, value);
    }
    if let Some(provide) = provide {
        builder = builder.with_credentials(Arc::new(Provider::new(provide, aws_credential)));
    }
    let builder =
        builder.with_bucket_name(place.bucket).with_retry(no_retry()).with_http_connector(Connector);
    let endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    // Objects are removed one at a time, which every server can do.
    let built = builder.with_disable_bulk_delete(true).build();
    opened(built, options, endpoint.filter(|endpoint| !is_of_known_service(endpoint)))
}

fn google(place: &Place<'_>, options: &Options, provide: Option<Provision>) -> Result<Opened, OpenError> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_client_options(client_options());
    for (name, value) in options {
        let key: GoogleConfigKey = name.to_lowercase().parse().map_err(|_| unknown(name))?;
        builder = builder.with_config(key, value);
    }
    if let Some(provide) = provide {
        builder = builder.with_credentials(Arc::new(Provider::new(provide, google_credential)));
    }
    let builder =
        builder.with_bucket_name(place.bucket).with_retry(no_retry()).with_http_connector(Connector);
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    opened(builder.build(), options, endpoint)
}

fn azure(place: &Place<'_>, options: &Options, provide: Option<Provision>) -> Result<Opened, OpenError> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_client_options(client_options());
    for (name, value) in options {
        let key: AzureConfigKey = name.to_lowercase().parse().map_err(|_| unknown(name))?;
        builder = builder.with_config(key, value);
    }
    if let Some(provide) = provide {
        builder = builder.with_credentials(Arc::new(Provider::new(provide, azure_credential)));
    }
    let builder =
        builder.with_container_name(place.bucket).with_retry(no_retry()).with_http_connector(Connector);
    let is_emulated =
        builder.get_config_value(&AzureConfigKey::UseEmulator).is_some_and(|text| text == "true");
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let unknown_service = endpoint.or_else(|| is_emulated.then(|| EMULATOR.into()));
    opened(builder.build(), options, unknown_service)
}

type Parts = BTreeMap<String, String>;

fn part(parts: &Parts, name: &str) -> Result<String, String> {
    parts.get(name).cloned().ok_or_else(|| format!("credential_provider returned no {name}"))
}

fn aws_credential(parts: &Parts) -> Result<AwsCredential, String> {
    let (key_id, secret_key) = (part(parts, "access_key_id")?, part(parts, "secret_access_key")?);
    Ok(AwsCredential { key_id, secret_key, token: parts.get("token").cloned() })
}

fn google_credential(parts: &Parts) -> Result<GcpCredential, String> {
    Ok(GcpCredential { bearer: part(parts, "token")? })
}

fn azure_credential(parts: &Parts) -> Result<AzureCredential, String> {
    if let Some(token) = parts.get("token") {
        return Ok(AzureCredential::BearerToken(token.clone()));
    }
    let key =
        part(parts, "access_key").map_err(|_| "credential_provider returned no token and no access_key")?;
    let key = object_store::azure::AzureAccessKey::try_new(&key);
    key.map(AzureCredential::AccessKey)
        .map_err(|_| "credential_provider returned an access_key that is not base64".into())
}

/// Credentials from a function of the caller, kept until they expire.
struct Provider<T> {
    provide: Arc<Provide>,
    renewal: Arc<Renewal>,
    convert: fn(&Parts) -> Result<T, String>,
    known: Mutex<Option<(Arc<T>, Option<SystemTime>)>>,
}

impl<T> Provider<T> {
    fn new((provide, renewal): Provision, convert: fn(&Parts) -> Result<T, String>) -> Self {
        Self { provide, renewal, convert, known: Mutex::default() }
    }
}

impl<T> fmt::Debug for Provider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

#[async_trait]
impl<T: fmt::Debug + Send + Sync + 'static> CredentialProvider for Provider<T> {
    type Credential = T;

    async fn get_credential(&self) -> object_store::Result<Arc<T>> {
        let mut known = self.known.lock().await;
        if !self.renewal.take()
            && let Some((credential, end)) = &*known
            && end.is_none_or(|end| SystemTime::now() + MARGIN < end)
        {
            return Ok(credential.clone());
        }
        let (provide, convert) = (self.provide.clone(), self.convert);
        // The function may take long, and the thread of the runtime serves all requests.
        let provided = tokio::task::spawn_blocking(move || {
            let (parts, end) = provide()?;
            Ok::<_, String>((Arc::new(convert(&parts)?), end))
        });
        let failed = |said: String| object_store::Error::Generic {
            store: "credential_provider",
            source: format!("{PROVIDER_FAILED}{said}").into(),
        };
        let provided = provided.await.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        Ok(known.insert(provided).0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_knows_the_services_that_honour_conditions() {
        let is_known_good = |url: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            open(url, &options.collect(), None).unwrap().unknown_service.is_none()
        };
        let region = ("region", "eu-west-1");
        assert!(is_known_good(
            "s3://bucket/x",
            &[region, ("endpoint", "https://s3.eu-west-1.amazonaws.com")]
        ));
        for other in ["http://127.0.0.1:9000", "https://amazonaws.com.evil.org", "http://s3.amazonaws.com"] {
            assert!(!is_known_good("s3://bucket/x", &[region, ("endpoint", other)]), "{other}");
        }
        assert!(is_known_good("az://bucket/x", &[("account_name", "a"), ("access_key", "aGVsbG8=")]));
        let emulator = [("use_emulator", "true")];
        assert!(!is_known_good("az://bucket/x", &emulator));
    }

    #[test]
    fn open_names_the_fault_and_no_secret() {
        for url in ["s3:/x", "ftp://x/y", "s3://", "s3:///x", "x"] {
            let error = Place::of(url).unwrap_err().to_string();
            assert!(
                error.contains("s3://, gs:// or az://") && error.contains(&format!("{url:?}")),
                "{error}"
            );
        }
        let options = BTreeMap::from([("sekret".to_owned(), "hunter2hunter2".to_owned())]);
        let error = open("s3://bucket/x", &options, None).unwrap_err().to_string();
        assert!(error.contains("sekret") && !error.contains("hunter2"), "{error}");
        let options = [("secret_access_key", "hunter2hunter2"), ("access_key_id", "key"), ("region", "x")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let client = open("s3://bucket/a/b/", &options, None).unwrap();
        assert_eq!((&*client.url, &*client.prefix), ("s3://bucket/a/b", "a/b"));
        assert!(!format!("{client:?}").contains("hunter2"), "{client:?}");
    }
}
