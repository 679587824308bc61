//! A real redis-server on a free port, which dies with the test.

use std::{
    net::TcpListener,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal};

pub struct RedisServer {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl RedisServer {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { child: spawn(&dir, port), port, dir }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// What another tool gets.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap()
    }

    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It does nothing any more, and its connections stay.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// It does what has come meanwhile.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The same server again, at the same port, with what it had stored.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir, self.port);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A test that is killed takes its server along.
fn spawn(dir: &tempfile::TempDir, port: u16) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "redis-server", "--bind", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = command.spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let answers = || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
        let pong: redis::RedisResult<String> =
            client.get_connection().and_then(|mut c| redis::cmd("PING").query(&mut c));
        pong.is_ok()
    };
    while !answers() {
        assert!(std::time::Instant::now() < until, "redis-server did not start");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    child
}
