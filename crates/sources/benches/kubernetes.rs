//! What a manifest costs: one small pod from text to objects, ten thousand of them joined, and a pod whose volumes and account
//! are decided by other objects.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sources::Context;
use sources::document::{Limits, parse_yaml};
use sources::kubernetes::Objects;

/// A pod of the usual size, about 1 kB; `{n}` tells one from another.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web-{n}
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
      persistentVolumeClaim: {claimName: cache-{n}}
";

const BESIDE: &str = "\
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-{n}}
spec: {claimRef: {namespace: shop, name: cache-{n}}, capacity: {storage: 1Gi}, hostPath: {path: /srv/{n}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b, namespace: shop}
roleRef: {kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
";

fn read(text: &str, path: &Arc<str>) -> Objects {
    let mut objects = Objects::default();
    for document in parse_yaml(text, path, &Limits::default()).into_iter().flatten() {
        objects.add(&document);
    }
    objects
}

fn many(count: usize, text: &str) -> Objects {
    let mut all = Objects::default();
    for n in 0..count {
        all.merge(read(&text.replace("{n}", &n.to_string()), &format!("pods/{n}.yaml").into()));
    }
    all
}

fn kubernetes(criterion: &mut Criterion) {
    let path: Arc<str> = "pod.yaml".into();
    let context = Context::assumed();

    let mut group = criterion.benchmark_group("one pod");
    let text = POD.replace("{n}", "0");
    group.throughput(Throughput::Elements(1));
    let limits = Limits::default();
    group.bench_function("parse", |b| b.iter(|| black_box(parse_yaml(black_box(&text), &path, &limits))));
    group.bench_function("parse and read", |b| b.iter(|| black_box(read(black_box(&text), &path))));
    group.finish();

    let mut group = criterion.benchmark_group("join");
    group.sample_size(10);
    let with_volumes = format!("{POD}---\n{BESIDE}");
    for (count, name, text) in
        [(10_000, "pods", POD), (1_000, "pods with volumes and bindings", &with_volumes)]
    {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} {name}"), |b| {
            b.iter_batched(
                || many(count, text),
                |objects| objects.into_world(&context),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, kubernetes);
criterion_main!(benches);
