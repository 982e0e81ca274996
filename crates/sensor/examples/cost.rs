//! What the sensor costs, and whether it loses anything, measured on this machine in one run: beside no sensor, and
//! beside bpftrace counting the same calls where it is installed.
//!
//! `cargo run --release -p sensor --features loader --example cost [SECONDS]` as root. Workers are this program again,
//! in mount and pid namespaces of their own (`unshare`), so that they count as containers, and open a file on overlayfs
//! as containers do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sensor::event::{ContainerKey, Event, What};
use sensor::{Kind, Options, Sensor};

type Failure = Box<dyn std::error::Error>;

const FLOODED: &str = "/etc/hostname";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("work") => work(arguments.get(1).map_or("", String::as_str)),
        Some("calls") => costs(),
        seconds => measure(seconds.map_or(Ok(10), str::parse)?),
    }
}

// ---- workers ----

fn work(what: &str) -> Result<(), Failure> {
    match what {
        "getpid" => println!("{:.1}", per_call(2_000_000, std::process::id)),
        "open" => println!("{:.1}", per_call(400_000, || std::fs::File::open(FLOODED).is_ok())),
        "flood" => flood()?,
        "rare" => rare()?,
        other => return Err(format!("no work is named {other}").into()),
    }
    Ok(())
}

/// Nanoseconds that one call takes: the best of many short parts, none longer than a time slice, since other load on
/// the machine only adds.
fn per_call<T>(calls: u32, mut call: impl FnMut() -> T) -> f64 {
    const PART: u32 = 1_000;
    (0..calls / PART)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..PART {
                std::hint::black_box(call());
            }
            began.elapsed().as_nanos() as f64 / f64::from(PART)
        })
        .fold(f64::INFINITY, f64::min)
}

/// Waits for a line, opens until its input ends, says how often.
fn flood() -> Result<(), Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        ended.store(true, Ordering::Release);
    });
    let mut made = 0u64;
    while !stop.load(Ordering::Acquire) {
        if std::fs::File::open(FLOODED).is_ok() {
            made += 1;
        }
    }
    println!("{made}");
    Ok(())
}

/// A thousand calls that the kernel refuses, spread over the flood.
fn rare() -> Result<(), Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let pause = Duration::from_micros(line.trim().parse().unwrap_or(5_000));
    for _ in 0..1_000 {
        let _ = std::os::unix::fs::chroot("/there/is/no/such/directory");
        std::thread::sleep(pause);
    }
    println!("1000");
    Ok(())
}

// ---- the measurement ----

fn worker(what: &str) -> Result<Child, Failure> {
    let script = "mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work /mnt/merged && \
                  mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /mnt/merged && \
                  mount --bind /mnt/merged /etc; exec \"$0\" work \"$1\"";
    Ok(Command::new("unshare")
        .args(["-m", "-p", "--fork", "--kill-child", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?)
}

fn timed(what: &str) -> Result<f64, Failure> {
    let output = worker(what)?.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// A sensor that is read on a thread of its own.
struct Running {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(sensor::Stats, Vec<Event>)>,
}

/// `keep` chooses the events that are given back.
fn run(options: Options, keep: fn(&Event) -> bool) -> Result<Running, Failure> {
    let mut sensor = Sensor::start(options)?;
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut events = Vec::new();
        let mut handle = |event: Event| {
            if keep(&event) {
                events.push(event);
            }
        };
        while !ended.load(Ordering::Acquire) {
            if sensor.poll(Duration::from_millis(20), &mut handle).is_err() {
                break;
            }
        }
        let stats = sensor.stop(&mut handle);
        (stats, events)
    });
    Ok(Running { stop, thread })
}

impl Running {
    fn end(self) -> Result<(sensor::Stats, Vec<Event>), Failure> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the reading thread panicked".into())
    }
}

fn bulk_open() -> Options {
    Options { bulk: vec![Kind::Open], ..Options::default() }
}

/// bpftrace counting the same calls, attached; None where it is not installed or does not start.
fn bpftrace(program: &str) -> Option<Child> {
    // It finds tracepoints by tracefs, which is not mounted everywhere.
    let script = "mount -t tracefs none /sys/kernel/tracing; exec bpftrace -e \"$0\"";
    let mut child = Command::new("unshare")
        .args(["-m", "sh", "-c", script, &format!("BEGIN {{ printf(\"ready\\n\"); }} {program}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    loop {
        match lines.next() {
            Some(Ok(line)) if line.contains("ready") => break,
            Some(Ok(_)) => {}
            _ => {
                let _ = child.wait();
                return None;
            }
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    Some(child)
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn measure(seconds: u64) -> Result<(), Failure> {
    costs()?;
    losses(seconds)
}

fn costs() -> Result<(), Failure> {
    let none = |_: &Event| false;
    println!("{:<46} {:>10} {:>12} {:>8}", "", "ns a call", "added ns", "ratio");
    for (what, name) in [("getpid", "getpid"), ("open", "open and close of one file (overlayfs)")] {
        let before = timed(what)?;
        let mut rows = Vec::new();
        let sensor = run(Options::default(), none)?;
        rows.push(("sensor, nothing in bulk", timed(what)?));
        sensor.end()?;
        let sensor = run(bulk_open(), none)?;
        rows.push(("sensor, every open asked for", timed(what)?));
        sensor.end()?;
        let sensor = run(Options { fold: Duration::ZERO, ..bulk_open() }, none)?;
        rows.push(("sensor, every open, no repeats folded", timed(what)?));
        sensor.end()?;
        for (name, program) in [
            ("bpftrace, sys_exit_openat counted", "tracepoint:syscalls:sys_exit_openat { @ = count(); }"),
            (
                "bpftrace, every sys_exit counted",
                "tracepoint:raw_syscalls:sys_exit { @[args->id] = count(); }",
            ),
        ] {
            if let Some(mut child) = bpftrace(program) {
                rows.push((name, timed(what)?));
                end(&mut child);
            }
        }
        let base = before.min(timed(what)?);
        println!("{:<46} {base:>10.0}", format!("{name}, no sensor"));
        for (row, cost) in rows {
            println!("  {row:<44} {cost:>10.0} {:>12.0} {:>8.2}", cost - base, cost / base);
        }
    }
    Ok(())
}

/// Opens that three flooders make in a second without a sensor.
fn flood_without(seconds: u64) -> Result<f64, Failure> {
    let mut floods = (0..3).map(|_| worker("flood")).collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(Duration::from_millis(500));
    for child in &mut floods {
        child.stdin.as_mut().ok_or("no input")?.write_all(b"go\n")?;
    }
    std::thread::sleep(Duration::from_secs(seconds));
    let mut made = 0u64;
    for child in floods {
        made += String::from_utf8_lossy(&child.wait_with_output()?.stdout).trim().parse::<u64>()?;
    }
    Ok(made as f64 / seconds as f64)
}

fn losses(seconds: u64) -> Result<(), Failure> {
    let without = flood_without(seconds.min(5))?;
    println!("\nflood of three without a sensor: {:.2} M opens/s", without / 1e6);
    let keep = |event: &Event| {
        matches!(&event.what, What::Blind { .. } | What::Chroot { .. } | What::Tampering { .. })
            || matches!(&event.what, What::Open { file, .. } if file.path.text == FLOODED)
            || matches!(&event.what, What::ContainerStarted { .. })
    };
    for (name, options) in [
        ("repeats folded", bulk_open()),
        ("no repeats folded", Options { fold: Duration::ZERO, ..bulk_open() }),
    ] {
        let sensor = run(options, keep)?;
        let mut floods = Vec::new();
        for _ in 0..3 {
            floods.push(worker("flood")?);
        }
        let mut rare = worker("rare")?;
        // All have started, and opened what they open to start.
        std::thread::sleep(Duration::from_millis(500));
        for child in &mut floods {
            child.stdin.as_mut().ok_or("no input")?.write_all(b"go\n")?;
        }
        let pause = seconds * 1_000_000 / 1_100;
        rare.stdin.as_mut().ok_or("no input")?.write_all(format!("{pause}\n").as_bytes())?;
        std::thread::sleep(Duration::from_secs(seconds));
        let mut made = 0u64;
        for child in floods {
            // Waiting closes its input, which ends it.
            let output = child.wait_with_output()?;
            made += String::from_utf8_lossy(&output.stdout).trim().parse::<u64>()?;
        }
        rare.wait()?;
        std::thread::sleep(Duration::from_millis(300));
        let (stats, events) = sensor.end()?;
        report(name, made, seconds, &stats, &events);
    }
    Ok(())
}

fn report(name: &str, made: u64, seconds: u64, stats: &sensor::Stats, events: &[Event]) {
    let (mut told, mut records, mut blind, mut chroots) = (0u64, 0u64, 0u64, 0u64);
    let mut lost: HashMap<(String, Option<ContainerKey>), u64> = HashMap::new();
    for event in events {
        match &event.what {
            What::Open { .. } => {
                told += u64::from(event.count);
                records += 1;
            }
            What::Chroot { .. } => chroots += u64::from(event.count),
            What::Blind { lost: count, kind, container, .. } => {
                blind += count;
                *lost.entry((kind.clone(), *container)).or_default() += count;
            }
            _ => {}
        }
    }
    let lost_opens: u64 = lost.iter().filter(|(key, _)| key.0 == "open").map(|(_, count)| count).sum();
    println!("\nflood of three for {seconds} s, {name}:");
    println!("  opens made       {made:>12}   {:.2} M/s", made as f64 / seconds as f64 / 1e6);
    println!("  opens told       {told:>12}   in {records} events");
    println!("  opens lost       {lost_opens:>12}   of {blind} events lost in all");
    println!("  told + lost - made {:>10}", i128::from(told + lost_opens) - i128::from(made));
    println!("  rare events      {chroots:>12}   of 1000");
    println!("  broken records   {:>12}   map full {:?}", stats.broken, stats.map_full);
}
