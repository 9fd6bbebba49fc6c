//! A server that answers like an engine, except for one command.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What the server does instead of answering a command; after an error, it closes the
/// connection.
pub(crate) type Misbehave = dyn Fn(&mut UnixStream) -> io::Result<()> + Send + Sync;

pub(crate) struct Fake {
    directory: tempfile::TempDir,
}

impl Fake {
    /// Starts a server that misbehaves when it gets this command.
    pub(crate) fn start(
        command: &'static str,
        misbehave: impl Fn(&mut UnixStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("engine.sock")).expect("a socket");
        let misbehave: Arc<Misbehave> = Arc::new(misbehave);
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let misbehave = misbehave.clone();
                thread::spawn(move || serve(stream, command, &*misbehave));
            }
        });
        Self { directory }
    }

    pub(crate) fn url(&self) -> String {
        let path = self.directory.path().join("engine.sock");
        format!("redis+unix://{}", path.display())
    }
}

fn serve(stream: UnixStream, command: &str, misbehave: &Misbehave) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    let mut queued = None;
    loop {
        let name = read_command(&mut input)?;
        if name == command {
            misbehave(&mut output)?;
            continue;
        }
        let reply = match (&*name, &mut queued) {
            ("MULTI", queued) => {
                *queued = Some(0);
                "+OK\r\n".to_owned()
            }
            ("EXEC", queued) => {
                let increments = queued.take().unwrap_or(0) - 1;
                format!(
                    "*{}\r\n$3\r\n5-1\r\n{}",
                    increments + 1,
                    ":1\r\n".repeat(increments)
                )
            }
            (_, Some(count)) => {
                *count += 1;
                "+QUEUED\r\n".to_owned()
            }
            (name, None) => good_reply(name).to_owned(),
        };
        if name == "XREAD" {
            thread::sleep(Duration::from_millis(250));
        }
        output.write_all(reply.as_bytes())?;
    }
}

fn good_reply(command: &str) -> &'static str {
    match command {
        "PING" => "+PONG\r\n",
        "INFO" => "$26\r\nrun_id:test\r\nrole:master\r\n\r\n",
        "TIME" => "*2\r\n$4\r\n1000\r\n$1\r\n0\r\n",
        "XTRIM" | "XLEN" | "MEMORY" => ":0\r\n",
        "XRANGE" => "*0\r\n",
        "XREAD" => "*-1\r\n",
        "XINFO" => "-ERR no such key\r\n",
        "XADD" => "$3\r\n5-1\r\n",
        "HSCAN" => "*2\r\n$1\r\n0\r\n*0\r\n",
        "GET" => "$16\r\n0123456789012345\r\n",
        "SET" | "WATCH" | "UNWATCH" => "+OK\r\n",
        "HMGET" => "*1\r\n$-1\r\n",
        "PUBLISH" => ":1\r\n",
        "SUBSCRIBE" => "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n",
        other => panic!("what is the answer to {other}?"),
    }
}

/// Reads a command, and returns its name.
fn read_command(input: &mut BufReader<UnixStream>) -> io::Result<String> {
    let count = read_number(input, '*')?;
    let mut name = String::new();
    for index in 0..count {
        let length = read_number(input, '$')?;
        let mut bytes = vec![0; length + 2];
        input.read_exact(&mut bytes)?;
        if index == 0 {
            name = String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
    }
    Ok(name)
}

fn read_number(input: &mut BufReader<UnixStream>, kind: char) -> io::Result<usize> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let number = line.trim_end().strip_prefix(kind).map(str::parse);
    match number {
        Some(Ok(number)) => Ok(number),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
