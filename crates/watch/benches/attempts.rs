//! What the detectors cost: an event that is of no interest, one that is looked at more closely and let go, and one that is
//! an attempt.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use watch::attempts::{Detectors, case};

fn cost(criterion: &mut Criterion) {
    let cases: [(&str, Value); 7] = [
        (
            "a library is opened",
            json!({"is": "quiet", "open": {"file": {"system": "overlay", "path": "/usr/lib/x86_64-linux-gnu/libc.so.6"}, "flags": 0x80000}}),
        ),
        (
            "a file of a volume is opened",
            json!({"is": "quiet", "knows": {"shown-by": "/var/lib/docker/volumes/v/_data"}, "open": {"file": {"host": "/var/lib/docker/volumes/v/_data/base/1/2601", "at": "/data/base/1/2601"}, "flags": 2}}),
        ),
        (
            "a file is not found",
            json!({"is": "quiet", "result": "ENOENT", "open": {"file": {}, "asked": "/usr/lib/python3/dist-packages/yaml/__init__.py", "flags": 0}}),
        ),
        (
            "ps reads a process",
            json!({"is": "quiet", "open": {"file": {"system": "proc", "path": "/101/stat", "process": "self"}, "flags": 0}}),
        ),
        ("a process ends", json!({"is": "quiet", "exit": {"status": 0, "signal": 0}})),
        (
            "a connection",
            json!({"is": "quiet", "connect": {"family": 2, "address": {"internet": {"address": "10.1.2.3", "port": 5432}}}}),
        ),
        (
            "core_pattern, a repeat",
            json!({"is": "seen", "open": {"file": {"system": "proc", "path": "/sys/kernel/core_pattern"}, "flags": 1}}),
        ),
    ];
    let mut group = criterion.benchmark_group("see");
    for (name, written) in cases {
        let case = case::read(&written).expect("the case is written right");
        let mut detectors = Detectors::new();
        group.bench_function(name, |b| b.iter(|| detectors.see(black_box(&case.event), &case.context)));
    }
    group.finish();
}

criterion_group!(benches, cost);
criterion_main!(benches);
