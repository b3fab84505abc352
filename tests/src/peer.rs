//! A server for tests that speaks raw TCP, and remembers every byte that it was sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the server looks whether it should end.
const TICK: Duration = Duration::from_millis(5);
/// A connection is given up after this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent back: head and body, as bytes, for a request's head.
type Answer = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// Listens on loopback until it is dropped.
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    ends: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
    answer: Box<Answer>,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Request line and headers, with their line ends.
    pub head: String,
    /// As framed by its length, or in chunks, which are put together.
    pub body: Vec<u8>,
    /// How many requests came on the connection before.
    pub number: usize,
}

impl Received {
    /// Returns the request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Returns the values of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1);
        lines
            .filter_map(|line| line.split_once(':'))
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

impl Peer {
    /// Starts a server that answers as `answer` says, and closes the connection where the
    /// answer says that it does.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        listener.set_nonblocking(true).expect("sockets can");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            ends: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            requests: Mutex::new(Vec::new()),
            answer: Box::new(answer),
        });
        let for_thread = shared.clone();
        let thread = thread::spawn(move || accept(&listener, &for_thread));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Starts a server that answers every request with this status line's rest, headers
    /// and body.
    pub fn fixed(status: &str, headers: &str, body: &str) -> Self {
        let answer = response(status, headers, body.as_bytes());
        Self::start(move |_| answer.clone())
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns how many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Returns all requests until now.
    pub fn requests(&self) -> Vec<Received> {
        self.shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns a response with its length.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    while !shared.ends.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = shared.clone();
                threads.push(thread::spawn(move || serve(stream, &shared)));
            }
            Err(_) => thread::sleep(TICK),
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(TICK));
    let mut bytes = Vec::new();
    let begun = Instant::now();
    let mut number = 0;
    while !shared.ends.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
        let mut buffer = [0; 16 << 10];
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if is_quiet(&error) => continue,
            Err(_) => return,
        }
        while let Some((received, rest)) = take(&bytes, number) {
            bytes = rest;
            number += 1;
            let answer = (shared.answer)(&received.head);
            shared
                .requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(received);
            let is_last = String::from_utf8_lossy(&answer[..answer.len().min(1024)])
                .contains("connection: close\r\n");
            // Who has gone away does not read it.
            if stream.write_all(&answer).is_err() || is_last {
                return;
            }
        }
    }
}

fn is_quiet(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}

/// Takes one whole request off the front.
fn take(bytes: &[u8], number: usize) -> Option<(Received, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut received = Received {
        head,
        body: Vec::new(),
        number,
    };
    let rest = &bytes[end..];
    let rest = if received.header("transfer-encoding").contains(&"chunked") {
        let (body, rest) = chunks(rest)?;
        received.body = body;
        rest
    } else {
        let length = received.header("content-length");
        let length = length
            .first()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        received.body = rest.get(..length)?.to_vec();
        &rest[length..]
    };
    Some((received, rest.to_vec()))
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        let data = rest.get(..size + 2)?;
        if size == 0 {
            return Some((body, &rest[2..]));
        }
        body.extend_from_slice(&data[..size]);
        rest = &rest[size + 2..];
    }
}
