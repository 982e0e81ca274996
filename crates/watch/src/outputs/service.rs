//! What systemd is told of a service (sd_notify(3)): that it is ready, that it lives, that it ends. Without systemd,
//! nothing.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

pub struct Service {
    /// How often systemd wants to hear that it lives, halved as sd_watchdog_enabled(3) recommends.
    watchdog: Option<Duration>,
    told: Instant,
}

impl Service {
    pub fn begin() -> Service {
        Service { watchdog: sd_notify::watchdog_enabled().map(|time| time / 2), told: Instant::now() }
    }

    /// The sensor is attached.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("watching")]);
    }

    /// To be called in every turn of the loop that handles events: a loop that hangs is restarted.
    pub fn alive(&mut self) {
        if self.watchdog.is_some_and(|time| self.told.elapsed() >= time) {
            self.told = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }

    pub fn ends(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

/// Where systemd does not listen any more, there is nobody to tell.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use super::*;

    /// Not a test of its own: the service, which systemd would start with these variables.
    #[test]
    fn child_that_is_a_service() {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        let mut service = Service::begin();
        service.ready();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(20));
            service.alive();
        }
        service.ends();
    }

    #[test]
    fn systemd_is_told_that_the_service_is_ready_lives_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "outputs::service::tests::child_that_is_a_service"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000")
            .env_remove("WATCHDOG_PID")
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        let mut told = Vec::new();
        let mut buffer = [0; 512];
        while told.last().is_none_or(|last: &String| !last.starts_with("STOPPING=1")) {
            let count = socket.recv(&mut buffer).unwrap();
            told.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
        }
        assert!(told[0].contains("READY=1"), "{told:?}");
        let alive = told.iter().filter(|t| t.contains("WATCHDOG=1")).count();
        assert!((2..=5).contains(&alive), "{told:?}");
    }
}
