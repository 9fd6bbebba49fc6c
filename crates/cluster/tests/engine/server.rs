//! An engine that a test starts, stops and hangs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aquatic_test_harness::process::Process;
use aquatic_test_harness::tools;
use aquatic_test_harness::waiting::eventually;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use redis::{Client, Cmd, Connection, FromRedisValue};

pub(crate) const PROGRAM: &str = "redis-server";

/// A redis-server on a Unix socket in a directory of its own.
pub(crate) struct Server {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Server {
    /// Starts a server; `None` if there is no redis-server, and that is allowed.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        if !tools::needs(&[PROGRAM]) {
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self {
            directory,
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            process: None,
        };
        server.start_again();
        Some(server)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("engine.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Starts the server again, with the data that it has on disk.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(tools::find(PROGRAM).expect("it is there"));
        command.arg("--dir").arg(self.directory.path());
        command.arg("--unixsocket").arg(self.socket());
        if !self.arguments.iter().any(|it| it == "--port") {
            command.args(["--port", "0"]);
        }
        command.args(["--save", ""]).args(&self.arguments);
        self.process = Some(Process::start(PROGRAM, &mut command));
        eventually("the engine answers", || {
            let mut connection = self.connect()?;
            redis::cmd("PING").exec(&mut connection).ok()
        });
    }

    /// Kills the server by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn save(&self) {
        let _: () = self.ask(&redis::cmd("SAVE"));
    }

    pub(crate) fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends a command as an administrator.
    #[track_caller]
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let mut connection = self.connect().expect("the engine is there");
        command.query(&mut connection).expect("a reply")
    }

    /// Sends a command as an administrator; its words are separated by spaces.
    #[track_caller]
    pub(crate) fn say<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().expect("a word"));
        for word in words {
            command.arg(word);
        }
        self.ask(&command)
    }

    fn connect(&self) -> Option<Connection> {
        let mut arguments = self.arguments.iter();
        let password = arguments.find(|it| *it == "--requirepass");
        let url = match password.and_then(|_| arguments.next()) {
            Some(password) => format!("{}?pass={password}", self.url()),
            None => self.url(),
        };
        let client = Client::open(url).expect("a URL");
        let connection = client.get_connection_with_timeout(Duration::from_secs(2));
        connection.ok()
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        let id = i32::try_from(process.id()).expect("a process id");
        signal::kill(Pid::from_raw(id), signal).expect("a signal");
    }
}
