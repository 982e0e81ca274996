//! What reading costs: one small manifest of each format, and shapes that grow, whose time per byte must not.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sources::document::{Limits, parse_json, parse_yaml};

/// A pod of the usual size, about 1 kB.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels:
    app.kubernetes.io/name: web
    app.kubernetes.io/part-of: shop
spec:
  serviceAccountName: web
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: web
      image: registry.example.com/shop/web:1.27.3
      command: [\"/usr/bin/web\", \"--listen\", \"0.0.0.0:8080\"]
      ports:
        - containerPort: 8080
          protocol: TCP
      env:
        - name: DATABASE_URL
          valueFrom:
            secretKeyRef:
              name: database
              key: url
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsUser: 10001
        capabilities:
          drop: [ALL]
      resources:
        limits: {cpu: 500m, memory: 256Mi}
      volumeMounts:
        - name: cache
          mountPath: /var/cache/web
  volumes:
    - name: cache
      emptyDir: {}
";

fn events(text: &str) -> usize {
    let options = granit_parser::options! { emit_comments: false };
    granit_parser::Parser::new_from_str_with_options(text, options).filter(Result::is_ok).count()
}

fn document(criterion: &mut Criterion) {
    let limits = Limits::default();
    let path: Arc<str> = "pod.yaml".into();
    let json = to_json();

    let mut group = criterion.benchmark_group("pod");
    group.throughput(Throughput::Bytes(POD.len() as u64));
    group.bench_function("yaml", |b| b.iter(|| parse_yaml(black_box(POD), &path, &limits)));
    group.bench_function("yaml events only", |b| b.iter(|| events(black_box(POD))));
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function("json", |b| b.iter(|| parse_json(black_box(&json), &path, &limits)));
    group.finish();

    let mut group = criterion.benchmark_group("growing");
    group.sample_size(10);
    for documents in [100, 10_000] {
        let stream = format!("---\n{POD}").repeat(documents);
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(format!("{documents} documents"), |b| {
            b.iter(|| parse_yaml(black_box(&stream), &path, &limits));
        });
    }
    for items in [1_000, 100_000] {
        let line = format!("a: [{}]\n", "{name: x, value: \"1\"}, ".repeat(items));
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(format!("one line of {items} items"), |b| {
            b.iter(|| parse_yaml(black_box(&line), &path, &limits));
        });
    }
    group.finish();

    let root = match parse_yaml(POD, &path, &limits).remove(0) {
        Ok(document) => document.root,
        Err(error) => panic!("{error}"),
    };
    criterion.bench_function("ten lookups", |b| {
        b.iter(|| {
            let spec = black_box(&root).get("spec")?;
            let container = spec.get("containers")?.item(0)?;
            let context = container.get("securityContext")?;
            for key in ["privileged", "runAsUser", "allowPrivilegeEscalation", "procMount", "capabilities"] {
                black_box(context.get(key));
            }
            container.get("volumeMounts")?.item(0)?.get("mountPath").map(|node| node.place())
        });
    });
}

/// The same pod as JSON.
fn to_json() -> String {
    let path: Arc<str> = "pod.yaml".into();
    let Ok(document) = parse_yaml(POD, &path, &Limits::default()).remove(0) else { return String::new() };
    // A node's debug form is JSON, so long as its strings need no escape that JSON lacks.
    let json = format!("{:?}", document.root);
    assert!(parse_json(&json, &path, &Limits::default()).is_ok());
    json
}

criterion_group!(benches, document);
criterion_main!(benches);
