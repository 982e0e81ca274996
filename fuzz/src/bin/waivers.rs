//! Waivers of whatever text, in a file or in place, are read or told of with a place within the text; what holds is
//! within its days, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::baseline::Baseline;
use policy::{Date, Waived, Waivers, parse_date};
use sources::{Context, gather};
use techniques::judge::{Options, judge};

fuzz_target!(|text: &str| {
    // A lone carriage return ends a line of YAML too.
    let lines = text.matches(['\n', '\r']).count() as u32 + 1;
    let path = fuzz::path("compose.yaml");
    let _ = Baseline::parse(text, "b.json");
    if let Err(error) = Waivers::parse(text, &path) {
        assert!(!error.problems.is_empty());
        assert!(error.problems.iter().filter_map(|p| p.line).all(|line| line <= lines), "{error}");
    }
    let (waivers, problems) = Waivers::in_place(text, &path);
    assert!(problems.iter().all(|p| p.line.is_some_and(|line| line <= lines)), "{problems:?}");
    for waiver in waivers.iter() {
        assert!(waiver.is_in_place() && waiver.place.line <= lines && !waiver.reason.is_empty());
        assert!(waiver.holds(waiver.until) && waiver.holds(Date::MIN));
    }
    if waivers.is_empty() || text.len() > 4096 {
        return;
    }
    let world = gather::text(text.as_bytes(), path.as_ref().as_ref(), &Context::assumed());
    if world.subjects.len() > 20 {
        return;
    }
    let judgement = judge(&world, Options::default());
    let today = parse_date("2027-01-01").unwrap_or(Date::ZERO);
    let waived = Waived::of(&world, &judgement, waivers, today);
    let _ = waived.notices();
});
