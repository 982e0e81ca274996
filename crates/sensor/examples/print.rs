//! Prints what the sensor sees, one line of JSON an event: `cargo run -p sensor --features loader --example print
//! [SECONDS] [KIND…]`. Kinds are asked for in bulk; `host` adds processes outside containers.

use std::time::{Duration, Instant};

use sensor::{Kind, Options, Sensor, Variant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let mut options = Options::default();
    for argument in arguments {
        match argument.as_str() {
            "host" => options.host = true,
            "cast" => options.variant = Some(Variant::Cast),
            "direct" => options.variant = Some(Variant::Direct),
            "plain" => options.variant = Some(Variant::Plain),
            name => match Kind::ALL.iter().find(|kind| kind.name() == name) {
                Some(kind) => options.bulk.push(*kind),
                None => return Err(format!("no kind is named {name}").into()),
            },
        }
    }
    let began = Instant::now();
    let mut sensor = Sensor::start(options)?;
    eprintln!("{:?} after {:?}", sensor.variant(), began.elapsed());
    for capability in sensor.capabilities() {
        eprintln!("{}", serde_json::to_string(capability)?);
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut print = |event| match serde_json::to_string(&event) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("{error}"),
    };
    while Instant::now() < until {
        sensor.poll(Duration::from_millis(200), &mut print)?;
    }
    let stats = sensor.stop(&mut print);
    eprintln!("{}", serde_json::to_string_pretty(&stats)?);
    Ok(())
}
