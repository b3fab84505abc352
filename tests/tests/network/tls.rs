//! TLS: the name is the granted host's, the roots are the system's, and a credential needs
//! it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hm_exec::{Credential, HttpGrant, HttpNetwork};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::embedded::{Ran, run};
use super::resolver::Scripted;
use super::{call, grant, script};

/// An authority that only this test trusts.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        Self {
            der: own.der().to_vec(),
            pem: own.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn config(&self, name: &str, protocols: &[&str]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

/// A server with TLS that remembers requests; it ends with its runtime.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(config: ServerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (acceptor, log) = (TlsAcceptor::from(Arc::new(config)), seen.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, log.clone()));
            }
        });
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, log: Arc<Mutex<Vec<String>>>) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let authorization = request.headers().get("authorization").cloned();
            log.lock().unwrap().push(format!(
                "{} {} {authorization:?}",
                request.method(),
                request.uri()
            ));
            let head = http::Response::new(());
            if let Ok(mut body) = respond.send_response(head, false) {
                let _ = body.send_data("by h2".into(), true);
            }
        }
        return;
    }
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            _ => return,
        }
    }
    log.lock()
        .unwrap()
        .push(String::from_utf8_lossy(&bytes).into_owned());
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\ntls";
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

fn granted(server: &Server, authority: &Authority) -> HttpGrant {
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    let port = server.address.port();
    let pattern = |scheme: &str, host: &str, path: &str| {
        format!("{scheme}://{host}:{port}{path}").parse().unwrap()
    };
    let network = HttpNetwork::default()
        .resolver(resolver)
        .root(authority.der.clone());
    HttpGrant {
        patterns: vec![
            pattern("https", "acme.example", "/"),
            pattern("https", "other.example", "/"),
            pattern("http", "acme.example", "/"),
        ],
        private: vec!["127.0.0.1".parse().unwrap()],
        credentials: vec![
            Credential::new(
                pattern("https", "acme.example", "/v1/"),
                "authorization",
                "Bearer CRED",
            )
            .unwrap(),
        ],
        network,
        ..HttpGrant::default()
    }
}

#[test]
fn the_certificate_is_of_the_granted_host() {
    let authority = Authority::new();
    let server = Server::start(authority.config("acme.example", &[]));
    let port = server.address.port();
    let Ran { said, .. } = run(
        &[
            format!("GET https://acme.example:{port}/v1/x"),
            format!("GET https://acme.example:{port}/v2/x"),
            format!("GET https://other.example:{port}/v1/x"),
        ],
        granted(&server, &authority),
    );
    assert_eq!(
        said,
        [
            "200 3 bytes tls",
            "200 3 bytes tls",
            "error ErrorCode::TlsCertificateError"
        ]
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].contains("authorization: Bearer CRED"), "{seen:?}");
    assert!(!seen[1].contains("CRED"), "{seen:?}");
}

#[test]
fn an_authority_that_nobody_trusts_is_not_trusted() {
    let (authority, another) = (Authority::new(), Authority::new());
    let server = Server::start(authority.config("acme.example", &[]));
    let Ran { said, .. } = run(
        &[format!(
            "GET https://acme.example:{}/",
            server.address.port()
        )],
        granted(&server, &another),
    );
    assert_eq!(said, ["error ErrorCode::TlsCertificateError"]);
    assert_eq!(server.seen(), [""; 0]);
}

/// The same host in the clear gets no credential, and a server without TLS none either.
#[test]
fn a_credential_is_never_sent_in_the_clear() {
    let authority = Authority::new();
    let peer = hm_tests::Peer::fixed("200 OK", "", "clear");
    let server = Server::start(authority.config("acme.example", &[]));
    let mut grant = granted(&server, &authority);
    let at = format!("http://acme.example:{}/v1/", peer.port());
    grant.patterns.push(at.parse().unwrap());
    grant
        .credentials
        .push(Credential::new(at.parse().unwrap(), "authorization", "Bearer CRED").unwrap());
    let Ran { said, .. } = run(
        &[
            format!("GET {at}x"),
            format!("GET https://acme.example:{}/", peer.port()),
        ],
        grant,
    );
    assert_eq!(said[0], "200 5 bytes clear");
    assert!(said[1].starts_with("error"), "{said:?}");
    assert!(peer.requests()[0].header("authorization").is_empty());
}

#[test]
fn http_2_is_spoken_where_the_server_does() {
    let authority = Authority::new();
    let server = Server::start(authority.config("acme.example", &["h2", "http/1.1"]));
    let port = server.address.port();
    let Ran { said, .. } = run(
        &[
            format!("GET https://acme.example:{port}/v1/x?y"),
            format!("POST https://acme.example:{port}/other | body: x"),
        ],
        granted(&server, &authority),
    );
    assert_eq!(said, ["200 5 bytes by h2", "200 5 bytes by h2"]);
    let seen = server.seen();
    assert!(
        seen[0].starts_with(&format!("GET https://acme.example:{port}/v1/x?y ")),
        "{seen:?}"
    );
    assert!(
        seen[0].contains("Sensitive") || seen[0].contains("CRED"),
        "{seen:?}"
    );
    assert!(seen[1].ends_with("None"), "{seen:?}");
}

/// The roots are those that every other program of this machine has.
#[test]
fn the_programs_roots_are_the_systems() {
    let authority = Authority::new();
    let server = Server::start(authority.config("localhost", &[]));
    let url = format!("https://localhost:{}/", server.address.port());
    let project = script(&[format!("GET {url}")]);
    grant(&project, &["--http", &url, "--http-private", "127.0.0.1"]);
    let said = call(&project).expect(0).build().step("a").stdout()[0].to_owned();
    assert_eq!(said, "error ErrorCode::TlsCertificateError");
    let file = project.config().join("roots.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let trusting = project
        .run()
        .arg("--backend")
        .arg(super::caller())
        .env("SSL_CERT_FILE", &file);
    assert_eq!(
        trusting.run().expect(0).build().step("a").stdout(),
        ["200 3 bytes tls"]
    );
}
