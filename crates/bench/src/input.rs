//! Input that is generated, so that two runs measure the same: pods, Compose files, and a large installation of
//! projects. Nothing here is random; a number says which pod or service it is.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// How far the containers of one input differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variety {
    /// Only in their names.
    Alike,
    /// In name, image, mount path and resource numbers, so that no two are confined by equal facts.
    Different,
}

/// A small pod of one container, as it should be written.
pub fn pod(number: usize, variety: Variety) -> String {
    let n = if variety == Variety::Alike { 0 } else { number };
    let (name, minor, patch) = (format!("web-{number:05}"), n / 100, n % 100);
    let (milli_cpu, mebibytes, user) = (100 + n, 64 + n, 10_001 + n);
    format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: shop
  labels:
    app: web
spec:
  automountServiceAccountToken: false
  containers:
    - name: web
      image: registry.example.com/shop/web-{n}:1.{minor}.{patch}
      ports:
        - containerPort: 8080
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        runAsUser: {user}
        capabilities:
          drop: [ALL]
      resources:
        limits: {{cpu: {milli_cpu}m, memory: {mebibytes}Mi}}
      volumeMounts:
        - name: cache
          mountPath: /var/cache/web-{n}
  volumes:
    - name: cache
      emptyDir: {{}}
"
    )
}

/// A pod as it is often found: nothing but an image is said, so that everything is at its default.
pub fn bare_pod(number: usize, variety: Variety) -> String {
    let n = if variety == Variety::Alike { 0 } else { number };
    let (milli_cpu, mebibytes) = (100 + n, 64 + n);
    format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: job-{number:05}
spec:
  containers:
    - name: job
      image: registry.example.com/shop/job-{n}:latest
      resources:
        limits: {{cpu: {milli_cpu}m, memory: {mebibytes}Mi}}
      volumeMounts:
        - name: data
          mountPath: /data-{n}
  volumes:
    - name: data
      emptyDir: {{}}
"
    )
}

/// One file with many pods.
pub fn pods_in_one(count: usize, variety: Variety) -> String {
    (0..count).map(|n| pod(n, variety)).collect::<Vec<_>>().join("---\n")
}

/// A Compose file of the usual size: a web server, an application, a database and a cache.
pub fn compose(number: usize) -> String {
    format!(
        "\
services:
  proxy:
    image: nginx:1.27.{number}
    ports: ['80:80', '443:443']
    volumes:
      - ./nginx.conf:/etc/nginx/nginx.conf:ro
    depends_on: [application]
  application:
    image: registry.example.com/shop/application:{number}
    environment:
      DATABASE_URL: postgres://database/shop
    user: '1000:1000'
    read_only: true
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true']
    volumes:
      - uploads:/srv/uploads
  database:
    image: postgres:17
    restart: always
    volumes:
      - data:/var/lib/postgresql/data
  cache:
    image: redis:7
volumes:
  uploads:
  data:
"
    )
}

/// One project of the large installation: its services differ in few ways and share volumes. Every tenth mounts one host
/// folder that all projects share, each group of ten shares a named volume, and one of them holds the Docker socket.
pub fn project(number: usize, services: usize) -> String {
    let mut text = String::from("services:\n");
    for n in 0..services {
        let image = ["nginx:1.27", "redis:7", "postgres:17", "busybox:1.36"][n % 4];
        let _ = write!(text, "  service-{n:04}:\n    image: {image}\n");
        if n % 3 == 0 {
            text.push_str(
                "    user: '1000:1000'\n    cap_drop: [ALL]\n    security_opt: ['no-new-privileges:true']\n",
            );
        }
        if n % 5 == 0 {
            text.push_str("    read_only: true\n");
        }
        let _ = write!(text, "    volumes:\n      - group-{:03}:/data\n", n / 10);
        if n % 10 == 9 {
            text.push_str("      - /srv/shared:/srv/shared:ro\n");
        }
        if n == services / 2 {
            text.push_str("      - /var/run/docker.sock:/var/run/docker.sock\n");
        }
    }
    text.push_str("volumes:\n");
    for group in 0..services.div_ceil(10) {
        let _ = writeln!(text, "  group-{group:03}:");
    }
    let _ = writeln!(text, "name: project-{number:03}");
    text
}

/// Writes `count` files into a new folder.
pub fn write_files(
    folder: &Path,
    count: usize,
    name: impl Fn(usize) -> String,
    text: impl Fn(usize) -> String,
) -> io::Result<()> {
    for number in 0..count {
        let path = folder.join(name(number));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text(number))?;
    }
    Ok(())
}

/// Settings that open a path or take a wall away, by the key they stand under.
const WEAK: [(&str, &str); 14] = [
    ("privileged", "    privileged: true # some day less\n"),
    ("pid", "    pid: host\n"),
    ("network_mode", "    network_mode: host\n"),
    ("cap_add", "    cap_add: [SYS_ADMIN] # for mounts\n"),
    ("cap_add", "    cap_add:\n      - SYS_PTRACE\n      - NET_ADMIN # for routes\n"),
    ("cap_add", "    cap_add: [ALL]\n"),
    ("security_opt", "    security_opt:\n      - seccomp:unconfined\n      - apparmor:unconfined\n"),
    ("volumes", "    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock\n      - data:/data\n"),
    ("volumes", "    volumes:\n      - /:/host:ro # to look at\n"),
    ("volumes", "    volumes:\n      - /etc:/host/etc\n      - /sys:/sys\n      - /proc:/host/proc\n"),
    ("devices", "    devices:\n      - /dev/sda:/dev/sda\n"),
    ("user", "    user: root\n"),
    ("ipc", "    ipc: host\n"),
    ("userns_mode", "    userns_mode: host\n"),
];

/// A Compose file of weak services, each with four settings that no other has in this order.
pub fn weak_services(count: usize) -> String {
    let mut text = String::from("# Services that want hardening.\nservices:\n");
    for n in 0..count {
        let _ = write!(
            text,
            "  # the service {n}\n  s{n:02}:\n    image: registry.example.com/weak/s{n}:1.{n}\n"
        );
        let mut said: Vec<&str> = Vec::new();
        for step in 0..4 {
            let (key, lines) = WEAK[(n * (step + 3) + step * 5) % WEAK.len()];
            if !said.contains(&key) {
                said.push(key);
                text.push_str(lines);
            }
        }
        text.push('\n');
    }
    text.push_str("volumes:\n  data:\n");
    text
}
