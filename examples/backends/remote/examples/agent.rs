//! Runs commands that it is sent over HTTP. For this machine only: it listens on loopback,
//! and whoever reaches it runs commands as you.
//!
//!     cargo run --example agent [PORT]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

#[derive(serde::Deserialize)]
struct NewJob {
    command: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// A command, and what has happened to it.
struct Job {
    process: u32,
    events: Mutex<Events>,
    more: Condvar,
}

#[derive(Default)]
struct Events {
    data: Vec<String>,
    is_over: bool,
}

type Jobs = Arc<Mutex<HashMap<String, Arc<Job>>>>;

fn main() -> std::io::Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(7878), |port| port.parse());
    let port: u16 = port.expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on http://{}/", listener.local_addr()?);
    let jobs = Jobs::default();
    for stream in listener.incoming() {
        let (stream, jobs) = (stream?, Arc::clone(&jobs));
        thread::spawn(move || {
            // A client that goes away is no error of ours.
            let _ = answer(stream, &jobs);
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream, jobs: &Jobs) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length, mut last) = (String::new(), 0, 0);
    reader.read_line(&mut head)?;
    for line in reader.by_ref().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "last-event-id" => last = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let find = |id: &str| jobs.lock().unwrap().get(id).cloned();
    match (method, parts.as_slice()) {
        ("POST", ["jobs"]) => match serde_json::from_slice(&body) {
            Ok(new) => {
                let id = start(new, jobs)?;
                reply(&mut stream, "201 Created", &format!("{{\"id\":\"{id}\"}}"))
            }
            Err(error) => reply(&mut stream, "400 Bad Request", &error.to_string()),
        },
        ("GET", ["jobs", id, "events"]) => match find(id) {
            Some(job) => tell(&mut stream, &job, last),
            None => reply(&mut stream, "404 Not Found", "no such job"),
        },
        ("DELETE", ["jobs", id]) => {
            if let Some(job) = find(id) {
                job.kill();
            }
            reply(&mut stream, "204 No Content", "")
        }
        _ => reply(&mut stream, "404 Not Found", "no such place"),
    }
}

fn reply(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// Starts a command, and returns the id of its job.
fn start(new: NewJob, jobs: &Jobs) -> std::io::Result<String> {
    let mut child = Command::new("sh")
        .args(["-c", &new.command])
        .envs(new.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own group, so that all that it starts ends with it.
        .process_group(0)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let job = Arc::new(Job {
        process: child.id(),
        events: Mutex::default(),
        more: Condvar::new(),
    });
    let id = {
        let mut jobs = jobs.lock().unwrap();
        let id = (jobs.len() + 1).to_string();
        jobs.insert(id.clone(), Arc::clone(&job));
        id
    };
    let out = {
        let job = Arc::clone(&job);
        thread::spawn(move || job.read("stdout", stdout))
    };
    thread::spawn(move || {
        job.read("stderr", stderr);
        let _ = out.join();
        let status = child.wait();
        // A command that was killed has no code of its own.
        let code = status.ok().and_then(|status| status.code()).unwrap_or(137);
        job.note(format!("{{\"exited\":{code}}}"), true);
    });
    Ok(id)
}

impl Job {
    fn kill(&self) {
        let group = format!("-{}", self.process);
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
    }

    fn read(&self, channel: &str, pipe: Option<impl Read>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]);
            let event = BTreeMap::from([(channel, text)]);
            self.note(serde_json::to_string(&event).expect("text is JSON"), false);
        }
    }

    fn note(&self, event: String, is_over: bool) {
        let mut events = self.events.lock().unwrap();
        events.data.push(event);
        events.is_over = is_over;
        self.more.notify_all();
    }
}

/// Streams what happens to a job, from the event after `last`.
fn tell(stream: &mut TcpStream, job: &Job, last: usize) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    )?;
    let mut told = last;
    loop {
        let mut events = job.events.lock().unwrap();
        while events.data.len() <= told && !events.is_over {
            events = job.more.wait(events).unwrap();
        }
        let (new, is_over) = (
            events.data[told.min(events.data.len())..].to_vec(),
            events.is_over,
        );
        drop(events);
        for data in new {
            told += 1;
            write!(stream, "id: {told}\ndata: {data}\n\n")?;
        }
        if is_over {
            return Ok(());
        }
    }
}
