//! What the gate of the Docker API costs: the plugin asked as a daemon asks it, at a steady rate, beside a plugin that answers
//! at once; and the making of containers by a real daemon with and without it.
//!
//! A daemon of its own is started for that, and ended.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::table::{Figure, Part, Row, Target};

const FIRST: &str = "unix:///run/docker.sock";
const IMAGE: &str = "stockade-test-busybox";
/// Asked of the plugin, for so long.
const RATE: u32 = 500;
const TIME: Duration = Duration::from_secs(10);
/// Connections at once.
const LANES: usize = 8;
/// Containers made by the daemon.
const CREATES: usize = 100;

/// The kinds of requests, ten of which make the mix: what is asked, with which body.
const MIX: [(&str, &str, &str); 10] = [
    ("read", "GET /v1.41/containers/json?all=1", ""),
    ("read", "GET /v1.41/containers/bench-web/json", ""),
    ("create", "POST /v1.41/containers/create?name=a", SOUND),
    ("read", "GET /v1.41/images/json", ""),
    ("exec", "POST /v1.41/containers/bench-web/exec", r#"{"User":"1000","Cmd":["id"],"AttachStdout":true}"#),
    ("create", "POST /v1.41/containers/create", VOLUMES),
    ("read", "GET /v1.41/info", ""),
    ("exec", "POST /v1.41/containers/bench-web/exec", r#"{"Privileged":true,"Cmd":["id"]}"#),
    ("create", "POST /v1.41/containers/create", WEAK),
    ("read", "GET /_ping", ""),
];
const SOUND: &str = r#"{"Image":"stockade-test-busybox","User":"1000","Cmd":["sleep","1"],"HostConfig":{"Memory":67108864,"CapDrop":["ALL"],"ReadonlyRootfs":true}}"#;
const VOLUMES: &str = r#"{"Image":"stockade-test-busybox","User":"1000","HostConfig":{"Binds":["data:/data","/srv:/srv:ro"],"NetworkMode":"bridge"}}"#;
const WEAK: &str = r#"{"Image":"stockade-test-busybox","HostConfig":{"Privileged":true,"Binds":["/var/run/docker.sock:/s"],"PidMode":"host"}}"#;

/// One part of the table; where there is no Docker, one that says so.
pub fn part(stockade: &Path, folder: &Path) -> io::Result<Part> {
    let title = format!("gate docker, {RATE} requests/s for {} s", TIME.as_secs());
    let left_out = |why: &str| Part { title: format!("{title}: left out, {why}"), rows: Vec::new() };
    if !succeeds(Command::new("docker").args(["-H", FIRST, "image", "inspect", IMAGE])) {
        return Ok(left_out("no Docker (scripts/engines)"));
    }
    let mut daemon = Daemon::start(folder)?;
    daemon.docker(&["run", "-d", "--name", "bench-web", "--user", "1000", IMAGE, "sleep", "600"])?;
    let mut rows = Vec::new();
    rows.push(row("docker's create, no plugin, median", daemon.creates()?, Target::None));

    let floor = daemon.plugin("floor");
    answer_at_once(&floor)?;
    rows.extend(times("a plugin that answers at once", &floor, Target::None)?);
    daemon.heed("floor")?;
    rows.push(row("docker's create, that plugin, median", daemon.creates()?, Target::None));

    let gate = daemon.plugin("gate");
    daemon.start_gate(stockade, &gate)?;
    let target = Target::Under(Figure::Time(Duration::from_millis(2)));
    rows.extend(times("stockade gate docker", &gate, target)?);
    daemon.heed("gate")?;
    rows.push(row("docker's create, stockade gate docker, median", daemon.creates()?, Target::None));
    Ok(Part { title, rows })
}

fn row(what: impl Into<String>, time: Duration, target: Target) -> Row {
    Row { what: what.into(), figure: Figure::Time(time), target }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The part of sorted times below which `share` of them are.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let at = ((sorted.len() as f64) * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Median and 99th percentile of all requests, and the median of each kind.
fn times(who: &str, socket: &Path, target: Target) -> io::Result<Vec<Row>> {
    let measured = steady(socket)?;
    let sorted = |kind: &str| {
        let wanted = measured.iter().filter(|(k, _)| kind.is_empty() || *k == kind);
        let mut times: Vec<Duration> = wanted.map(|(_, time)| *time).collect();
        times.sort();
        times
    };
    let all = sorted("");
    let mut rows = vec![
        row(format!("{who}, median"), quantile(&all, 0.5), target),
        row("  99th percentile", quantile(&all, 0.99), Target::None),
    ];
    for kind in ["read", "create", "exec"] {
        rows.push(row(format!("  {kind}, median"), quantile(&sorted(kind), 0.5), target));
    }
    Ok(rows)
}

/// Asks at a steady rate, whatever the answers take: a time counts from the moment at which it was to be asked.
fn steady(socket: &Path) -> io::Result<Vec<(&'static str, Duration)>> {
    let count = RATE as usize * TIME.as_secs() as usize;
    let next = AtomicUsize::new(0);
    // The first questions open the session with the daemon; they are no part of a steady rate.
    let mut warm = Lane::open(socket)?;
    for _ in 0..3 {
        for asked in &MIX {
            warm.ask(asked)?;
        }
    }
    let begun = Instant::now();
    let lane = || -> io::Result<Vec<(&'static str, Duration)>> {
        let mut lane = Lane::open(socket)?;
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(times);
            }
            let due = begun + Duration::from_secs(1) * u32::try_from(number).unwrap_or(0) / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let asked = &MIX[number % MIX.len()];
            lane.ask(asked)?;
            times.push((asked.0, due.elapsed()));
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let mut all = Vec::new();
        for lane in lanes {
            all.extend(lane.join().map_err(|_| io::Error::other("a lane broke"))??);
        }
        Ok(all)
    })
}

/// A connection to a plugin.
struct Lane {
    stream: BufReader<UnixStream>,
}

impl Lane {
    fn open(socket: &Path) -> io::Result<Lane> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Lane { stream: BufReader::new(stream) })
    }

    fn ask(&mut self, (_, request, body): &(&str, &str, &str)) -> io::Result<()> {
        let (method, target) = request.split_once(' ').unwrap_or(("GET", request));
        let headers = if body.is_empty() {
            String::new()
        } else {
            format!(r#""Content-Type":"application/json","Content-Length":"{}""#, body.len())
        };
        let question = format!(
            r#"{{"RequestMethod":"{method}","RequestUri":"{target}","RequestBody":"{}","RequestHeaders":{{{headers}}}}}"#,
            BASE64_STANDARD.encode(body)
        );
        let answer = exchange(&mut self.stream, "POST /AuthZPlugin.AuthZReq", &question)?;
        if answer.contains("\"Allow\"") { Ok(()) } else { Err(io::Error::other(answer)) }
    }
}

/// A request and the body of its answer.
fn exchange(stream: &mut BufReader<UnixStream>, target: &str, body: &str) -> io::Result<String> {
    let head = format!(
        "{target} HTTP/1.1\r\nHost: plugin\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(format!("{head}{body}").as_bytes())?;
    let (_, body) = message(stream)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The first line and the body of a message with a length.
fn message(stream: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if first.is_empty() {
            line.clone_into(&mut first);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((first, body))
}

/// A plugin that lets everything in, without looking at it.
fn answer_at_once(socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Ok((first, _)) = message(&mut stream) {
                    let activate = first.contains("Plugin.Activate");
                    let body = if activate { r#"{"Implements":["authz"]}"# } else { r#"{"Allow":true}"# };
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(())
}

struct Daemon {
    folder: PathBuf,
    bridge: String,
    child: Child,
    gate: Option<Child>,
    plugins: Vec<PathBuf>,
}

impl Daemon {
    fn start(folder: &Path) -> io::Result<Daemon> {
        let folder = folder.join("gate-docker");
        fs::create_dir_all(&folder)?;
        // A bridge of its own: without one the daemon takes down that of the first.
        let bridge = format!("sgbench{}", std::process::id() % 1_000_000);
        if !succeeds(Command::new("ip").args(["link", "add", &bridge, "type", "bridge"])) {
            return Err(io::Error::other("no bridge can be made: it takes root"));
        }
        let _ = Command::new("ip").args(["address", "add", "10.214.7.1/24", "dev", &bridge]).status();
        let path = |name: &str| folder.join(name).display().to_string();
        fs::write(path("daemon.json"), "{}")?;
        let child = Command::new("dockerd")
            .args(["--host", &format!("unix://{}", path("docker.sock")), "--data-root", &path("data")])
            .args(["--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--config-file", &path("daemon.json"), "--bridge", &bridge, "--iptables=false"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log"))?)
            .spawn()?;
        let daemon = Daemon { folder: folder.clone(), bridge, child, gate: None, plugins: Vec::new() };
        until(|| daemon.docker(&["version"]).is_ok(), "the daemon does not start")?;
        let archive = daemon.folder.join("image.tar").display().to_string();
        if !succeeds(Command::new("docker").args(["-H", FIRST, "save", "-o", &archive, IMAGE])) {
            return Err(io::Error::other("the image cannot be saved"));
        }
        daemon.docker(&["load", "-i", &archive])?;
        Ok(daemon)
    }

    fn docker(&self, arguments: &[&str]) -> io::Result<()> {
        let host = format!("unix://{}", self.folder.join("docker.sock").display());
        let output = Command::new("docker").args(["-H", &host]).args(arguments).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))))
    }

    /// The socket of a plugin, where the daemon looks for it.
    fn plugin(&mut self, name: &str) -> PathBuf {
        let path = Path::new("/run/docker/plugins").join(format!("{}.sock", self.name(name)));
        let _ = path.parent().map(fs::create_dir_all);
        self.plugins.push(path.clone());
        path
    }

    fn name(&self, name: &str) -> String {
        format!("stockade-bench-{}-{name}", std::process::id())
    }

    fn start_gate(&mut self, stockade: &Path, socket: &Path) -> io::Result<()> {
        let child = Command::new(stockade)
            .args(["gate", "docker", "--socket"])
            .arg(socket)
            .arg("--engine")
            .arg(format!("unix://{}", self.folder.join("docker.sock").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.folder.join("gate.log"))?)
            .spawn()?;
        self.gate = Some(child);
        until(|| UnixStream::connect(socket).is_ok(), "the gate does not listen")
    }

    /// From now on the daemon asks this plugin.
    fn heed(&self, name: &str) -> io::Result<()> {
        let configuration = format!("{{\"authorization-plugins\": [\"{}\"]}}", self.name(name));
        fs::write(self.folder.join("daemon.json"), configuration)?;
        let _ = Command::new("kill").arg("-HUP").arg(self.child.id().to_string()).status();
        thread::sleep(Duration::from_millis(500));
        self.docker(&["version"])
    }

    /// The median time in which the daemon makes a container.
    fn creates(&self) -> io::Result<Duration> {
        let mut stream = BufReader::new(UnixStream::connect(self.folder.join("docker.sock"))?);
        stream.get_mut().set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut times = Vec::with_capacity(CREATES);
        for _ in 0..CREATES {
            let begun = Instant::now();
            let answer = exchange(&mut stream, "POST /v1.41/containers/create", SOUND)?;
            times.push(begun.elapsed());
            if !answer.contains("\"Id\"") {
                return Err(io::Error::other(answer));
            }
        }
        times.sort();
        Ok(quantile(&times, 0.5))
    }
}

fn until(mut test: impl FnMut() -> bool, why: &str) -> io::Result<()> {
    for _ in 0..300 {
        if test() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(io::Error::other(why.to_owned()))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if let Some(gate) = &mut self.gate {
            let _ = gate.kill();
            let _ = gate.wait();
        }
        for socket in &self.plugins {
            let _ = fs::remove_file(socket);
        }
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).status();
        let _ = Command::new("umount").arg(self.folder.join("data")).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&times, 0.99), Duration::from_millis(100));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
