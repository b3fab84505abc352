//! One request, made by the raw interface, mistakes and all.

use futures::future::join;
use wasip3::http::client;
use wasip3::http::types::{
    ErrorCode, Fields, HeaderError, Method, Request, RequestOptions, Response, Scheme, Trailers,
};
use wasip3::wit_bindgen::StreamReader;
use wasip3::{wit_future, wit_stream};

/// Bytes of a response's body that are printed.
const SHOWN: usize = 300;

struct Script {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    trailers: Vec<(String, Vec<u8>)>,
    body: Option<Source>,
    /// Follow redirects, this often.
    follow: usize,
    first_byte_ms: Option<u64>,
}

#[derive(Clone)]
enum Source {
    Bytes(Vec<u8>),
    Archive,
}

impl Script {
    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

/// Sends what a line says and returns what came of it.
pub(crate) async fn send(line: &str) -> String {
    let mut script = match read(line) {
        Ok(script) => script,
        Err(problem) => return format!("bad script: {problem}"),
    };
    let mut said = String::new();
    loop {
        let (text, location) = once(&script).await;
        said += &text;
        match location {
            Some(location) if script.follow > 0 => {
                script.follow -= 1;
                aim(&mut script, &location);
                said += " -> ";
            }
            _ => return said,
        }
    }
}

fn read(line: &str) -> Result<Script, String> {
    let mut parts = line.split(" | ");
    let head = parts.next().unwrap_or_default();
    let (method, url) = head.rsplit_once(' ').ok_or("no URL")?;
    let mut script = Script {
        method: unescaped(method),
        scheme: String::new(),
        authority: String::new(),
        path: String::new(),
        headers: Vec::new(),
        trailers: Vec::new(),
        body: None,
        follow: 0,
        first_byte_ms: None,
    };
    aim(&mut script, &unescaped(url));
    for part in parts {
        let (name, value) = part.split_once(": ").ok_or("no `: `")?;
        let (name, value) = (unescaped(name), unescaped(value));
        match name.as_str() {
            "body" if value == "@archive" => script.body = Some(Source::Archive),
            "body" => script.body = Some(Source::Bytes(value.into_bytes())),
            "zeros" => {
                let count = value.parse().map_err(|_| "no number")?;
                script.body = Some(Source::Bytes(vec![0; count]));
            }
            "trailer" => {
                let (name, value) = value.split_once(": ").ok_or("no trailer")?;
                script.trailers.push((name.into(), value.into()));
            }
            "authority" => script.authority = value,
            "path" => script.path = value,
            "follow" => script.follow = value.parse().map_err(|_| "no number")?,
            "first-byte" => script.first_byte_ms = value.parse().ok(),
            _ => script.headers.push((name, value.into_bytes())),
        }
    }
    Ok(script)
}

/// Takes a URL apart without judging it, and keeps what a relative one does not say.
fn aim(script: &mut Script, url: &str) {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) => {
            script.scheme = scheme.into();
            rest
        }
        None => match url.strip_prefix("//") {
            Some(rest) => rest,
            None => {
                script.path = url.into();
                return;
            }
        },
    };
    let slash = rest.find('/').unwrap_or(rest.len());
    script.authority = rest[..slash].into();
    script.path = rest[slash..].into();
}

fn unescaped(text: &str) -> String {
    text.replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\0", "\0")
}

fn fields(pairs: &[(String, Vec<u8>)]) -> Result<Fields, String> {
    let fields = Fields::new();
    for (name, value) in pairs {
        fields.append(name, value).map_err(|error| match error {
            HeaderError::Forbidden => format!("header {name} forbidden"),
            HeaderError::InvalidSyntax => "header with invalid syntax".to_owned(),
            HeaderError::SizeExceeded => "headers too large".to_owned(),
            error => format!("header {name}: {error:?}"),
        })?;
    }
    Ok(fields)
}

/// Returns what happened, and where a redirect leads.
async fn once(script: &Script) -> (String, Option<String>) {
    match exchange(script).await {
        Ok((text, location)) => (text, location),
        Err(text) => (text, None),
    }
}

async fn exchange(script: &Script) -> Result<(String, Option<String>), String> {
    let headers = fields(&script.headers)?;
    let trailers = match script.trailers.as_slice() {
        [] => None,
        some => Some(fields(some)?),
    };
    let (trailers_writer, trailers_reader) =
        wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    let (mut writer, contents) = match script.body {
        Some(Source::Bytes(_)) => {
            let (writer, reader) = wit_stream::new::<u8>();
            (Some(writer), Some(reader))
        }
        Some(Source::Archive) => {
            // Goes from the host to the host: this code never sees a byte.
            let archive = hm_backend_sdk::bindings::hm::backend::source::archive();
            (None, Some(archive.data))
        }
        None => (None, None),
    };
    let request = request(script, headers, contents, trailers_reader)?;
    // Kept beside the request, to be looked at when the host has had it.
    let kept = request.get_headers();
    let send = client::send(request);
    let feed = async move {
        if let (Some(writer), Some(Source::Bytes(bytes))) = (writer.as_mut(), &script.body) {
            writer.write_all(bytes.clone()).await;
        }
        drop(writer);
        if let Some(trailers) = trailers {
            let _ = trailers_writer.write(Ok(Some(trailers))).await;
        } else {
            drop(trailers_writer);
        }
    };
    let answered = join(send, feed).await.0;
    let names = kept.copy_all().into_iter().map(|(name, _)| name);
    if names
        .into_iter()
        .any(|name| name == "authorization" && !script.has("authorization"))
    {
        return Err("the host's header can be read".into());
    }
    match answered {
        Ok(response) => Ok(told(response).await),
        Err(error) => Err(format!("error {error:?}")),
    }
}

fn request(
    script: &Script,
    headers: Fields,
    contents: Option<StreamReader<u8>>,
    trailers: wasip3::wit_bindgen::FutureReader<Result<Option<Trailers>, ErrorCode>>,
) -> Result<Request, String> {
    let options = RequestOptions::new();
    if let Some(ms) = script.first_byte_ms {
        let _ = options.set_first_byte_timeout(Some(ms * 1_000_000));
        let _ = options.set_connect_timeout(Some(0));
    }
    let (request, _sent) = Request::new(headers, contents, trailers, Some(options));
    let method = match script.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.into()),
    };
    let scheme = match script.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    request.set_method(&method).map_err(|()| "bad method")?;
    request
        .set_scheme(Some(&scheme))
        .map_err(|()| "bad scheme")?;
    request
        .set_authority(Some(&script.authority))
        .map_err(|()| "bad authority")?;
    request
        .set_path_with_query(Some(&script.path))
        .map_err(|()| "bad path")?;
    Ok(request)
}

async fn told(response: Response) -> (String, Option<String>) {
    let status = response.get_status_code();
    let location = response.get_headers().get("location").into_iter().next();
    let location = location.and_then(|value| String::from_utf8(value).ok());
    let (_done_writer, done) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    let (body, end) = Response::consume_body(response, done);
    let bytes = body.collect().await;
    let end = match end.await {
        Ok(_) => String::new(),
        Err(error) => format!(" error {error:?}"),
    };
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
    (
        format!("{status} {} bytes {shown}{end}", bytes.len())
            .trim_end()
            .to_owned(),
        location.filter(|_| (300..400).contains(&status)),
    )
}
