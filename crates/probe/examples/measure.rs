//! Prints what it measures of itself as JSON. `--active` also makes the probes that trip sensors.

fn main() {
    let active = std::env::args().skip(1).any(|argument| argument == "--active");
    let measurement = probe::measure(&probe::Options { active });
    match serde_json::to_string_pretty(&measurement) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("{error}"),
    }
}
