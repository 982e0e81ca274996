//! A proxy of the test's own, in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gate::docker::engine::Engine;
use gate::docker::gate::DockerGate;
use gate::docker::proxy::{self, Settings};
use gate::listen::{Place, listen};
use gate::{Door, InForce, Rules};
use policy::{NoFiles, Policy, Waivers};
use sources::engine_api::Endpoint;

type Lines = Arc<Mutex<Vec<String>>>;

pub(crate) struct Running {
    pub(crate) socket: PathBuf,
    /// Records, as JSON.
    records: Lines,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    _folder: tempfile::TempDir,
}

impl Running {
    /// `policy` without its first line.
    pub(crate) fn before(daemon: &Path, policy: &str) -> Running {
        Running::with(daemon, policy, |_| {})
    }

    pub(crate) fn with(daemon: &Path, policy: &str, change: impl FnOnce(&mut Settings)) -> Running {
        let folder = tempfile::tempdir().unwrap();
        // Others may pass through: tests connect as another user.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let socket = folder.path().join("docker.sock");
        let text = format!("version: 1\n{policy}");
        let rules = Rules::load(move || {
            let policy = Policy::parse(&text, &"policy.yaml".into(), &NoFiles)?;
            Ok(InForce { policy, waivers: Waivers::default() })
        });
        let records = Lines::default();
        let keep = records.clone();
        let gate = Arc::new(DockerGate {
            door: Door::DockerProxy,
            rules: Arc::new(rules.unwrap()),
            engine: Arc::new(Engine::new(Endpoint::Unix(daemon.to_owned()), || {
                Arc::new(sources::host::read_host().0)
            })),
            keep: Some(Box::new(move |record| {
                let line = serde_json::to_string(record).map_err(|error| error.to_string())?;
                keep.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                Ok(())
            })),
        });
        let mut settings = Settings {
            daemon: daemon.to_owned(),
            allow: Vec::new(),
            connections: 1000,
            connections_of_one: 500,
        };
        change(&mut settings);
        let listening = listen(&Place { path: socket.clone(), mode: 0o666, group: None }).unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let tell = Box::new(|line: &str| println!("proxy: {line}"));
            let stop = async {
                let _ = ended.await;
            };
            let listener = listening.listener.try_clone()?;
            let served = runtime.block_on(proxy::serve(listener, settings, gate, tell, stop));
            runtime.shutdown_timeout(Duration::from_secs(1));
            served
        });
        Running { socket, records, end: Some(end), thread: Some(thread), _folder: folder }
    }

    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let lines = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(Ok(())))), "the proxy ended well");
        assert!(!self.socket.exists(), "and took its socket with it");
    }
}
