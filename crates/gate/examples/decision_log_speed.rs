//! How fast the log of decisions takes records and is verified: `decision_log_speed [RECORDS]`, by default 20,000 of each
//! size. Prints what it measured with one thread and with four, and the
//! cost of waiting for the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use gate::log::verify::Verifier;
use gate::log::{Log, Sync};
use gate::{Door, InForce, Record, Ruling, Who};
use jiff::Timestamp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let records = arguments.first().map_or(Ok(20_000), |text| text.parse())?;
    let folder = tempfile::tempdir_in(".")?;

    let plain = Ruling::allow();
    let text = "services:\n  web:\n    image: nginx\n    volumes: [\"/var/run/docker.sock:/s\"]\n";
    let world = sources::gather::text(text.as_bytes(), "compose.yaml".as_ref(), &sources::Context::assumed());
    let today = policy::parse_date("2026-11-23").ok_or("a date")?;
    let denied = Ruling::of(&world, &InForce::default(), today);

    for (what, ruling) in
        [("a request without a container", &plain), ("a container with its evidence", &denied)]
    {
        let path = folder.path().join("log");
        let log = Log::open(&path)?.synced(Sync::Never);
        for threads in [1, 4] {
            let took = write(&log, ruling, records, threads)?;
            println!("{what}, {threads} threads: {:.0} records/s", per_second(records, took));
        }
        verify(&path, what)?;
        std::fs::remove_file(&path)?;
    }

    let path = folder.path().join("synced");
    let log = Log::open(&path)?.synced(Sync::Always);
    let took = write(&log, &denied, 200, 1)?;
    println!("on the disk before it returns, 1 thread: {:.0} records/s", per_second(200, took));

    let path = folder.path().join("opened");
    let begin = Instant::now();
    for _ in 0..500 {
        append(&Log::open(&path)?.synced(Sync::Never), &denied)?;
    }
    println!(
        "opened anew for each, as the runtime does it: {:.0} records/s",
        per_second(500, begin.elapsed())
    );
    Ok(())
}

fn append(log: &Log, ruling: &Ruling) -> Result<(), gate::log::LogError> {
    log.append(&Record {
        schema: gate::record::SCHEMA,
        time: Timestamp::UNIX_EPOCH,
        door: Door::DockerPlugin,
        who: &Who::default(),
        asked: "POST /v1.41/containers/create?name=web",
        policy: None,
        ruling,
        took: Duration::from_micros(500),
    })
}

fn write(log: &Log, ruling: &Ruling, records: usize, threads: usize) -> Result<Duration, String> {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| (0..records / threads).try_for_each(|_| append(log, ruling))))
            .collect();
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("a writer panicked".to_owned()),
        })
    })?;
    Ok(begin.elapsed())
}

fn verify(path: &Path, what: &str) -> std::io::Result<()> {
    let begin = Instant::now();
    let mut verifier = Verifier::new([]);
    verifier.file(path, &mut |_| {})?;
    let verified = verifier.finish(path);
    let (took, size) = (begin.elapsed(), std::fs::metadata(path)?.len());
    println!(
        "{what}: {} lines of {} bytes verified in {:.2} s: {:.0} lines/s, {:.0} MB/s{}",
        verified.lines,
        size / verified.lines.max(1),
        took.as_secs_f64(),
        verified.lines as f64 / took.as_secs_f64(),
        size as f64 / took.as_secs_f64() / 1e6,
        if verified.is_whole() { "" } else { ", NOT WHOLE" },
    );
    Ok(())
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
