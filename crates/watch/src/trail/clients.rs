//! Who asked an engine: the processes that connected to its socket, as the sensor saw them, kept for a short time, and
//! the one among them that an entry of the trail is most likely due to.

use std::collections::VecDeque;

use sensor::event::{Actor, Task};

use super::{Action, Certainty, Client, Who};

/// Connections and command lines kept.
const KEPT: usize = 512;
/// A client connects, sends its request and gets it answered before the engine tells of what it did; a start pulls
/// no image but makes a root file system. Nanoseconds.
const BEFORE: u64 = 2_000_000_000;
/// The clock that the engine tells is compared with the kernel's since boot. Nanoseconds.
const AFTER: u64 = 20_000_000;

/// One process that may be a client, with when it was last seen to connect.
#[derive(Clone, Debug)]
struct Seen {
    client: Client,
    /// Nanoseconds since boot.
    started: u64,
    /// Engines' sockets it connected to, with when.
    connected: Vec<(String, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    seen: VecDeque<Seen>,
}

impl Clients {
    /// A program that an engine's user runs was executed; its command line is kept.
    pub(crate) fn executed(&mut self, time: u64, actor: &Actor, executable: &str, arguments: &[String]) {
        let seen = self.entry(time, actor);
        seen.client.executable = Some(executable.to_owned());
        seen.client.arguments = arguments.to_vec();
    }

    pub(crate) fn connected(&mut self, time: u64, actor: &Actor, socket: &str) {
        let seen = self.entry(time, actor);
        if seen.connected.len() >= 16 {
            seen.connected.remove(0);
        }
        seen.connected.push((socket.to_owned(), time));
    }

    /// What is read of a client beside the sensor's events, by who reads `/proc`.
    pub(crate) fn complete(&mut self, task: Task, executable: Option<String>, arguments: Vec<String>) {
        if let Some(seen) = self.seen.iter_mut().rev().find(|s| same(s.client.task, task)) {
            if seen.client.executable.is_none() {
                seen.client.executable = executable;
            }
            if seen.client.arguments.is_empty() {
                seen.client.arguments = arguments;
            }
        }
    }

    fn entry(&mut self, time: u64, actor: &Actor) -> &mut Seen {
        let at = self.seen.iter().rposition(|s| same(s.client.task, actor.task));
        let at = at.unwrap_or_else(|| {
            if self.seen.len() >= KEPT {
                self.seen.pop_front();
            }
            let client = Client { task: actor.task, ..Client::default() };
            self.seen.push_back(Seen { client, started: time, connected: Vec::new() });
            self.seen.len() - 1
        });
        // There: it was found, or pushed just now.
        let seen = &mut self.seen[at];
        seen.client.name = actor.name.clone();
        seen.client.uid = actor.credentials.uid;
        seen.client.login_uid = actor.login_uid;
        seen.client.container = actor.container;
        seen
    }

    /// Who asked for `action` on a container with one of these names, told by the engine at `time` since boot.
    pub(crate) fn who(&self, socket: &str, time: u64, action: &Action, names: &[&str]) -> Who {
        let in_time = |at: u64| at <= time.saturating_add(AFTER) && at >= time.saturating_sub(BEFORE);
        let mut candidates: Vec<&Seen> = Vec::new();
        for seen in self.seen.iter().rev() {
            let connects = seen.connected.iter().any(|(to, at)| to == socket && in_time(*at));
            // Where the sensor tells of no connections of the host's, the command line of a client alone can name it.
            let runs =
                seen.connected.is_empty() && !seen.client.arguments.is_empty() && in_time(seen.started);
            if connects || runs {
                candidates.push(seen);
            }
        }
        let named: Vec<&&Seen> =
            candidates.iter().filter(|s| names_it(&s.client.arguments, action, names)).collect();
        let clients = |seen: &[&&Seen]| seen.iter().take(8).map(|s| s.client.clone()).collect::<Vec<_>>();
        if let [first, ..] = named.as_slice() {
            return Who { certainty: Certainty::Named, clients: vec![first.client.clone()] };
        }
        let connected: Vec<&&Seen> = candidates.iter().filter(|s| !s.connected.is_empty()).collect();
        match connected.as_slice() {
            [] => Who::default(),
            [one] => Who { certainty: Certainty::OnlyOne, clients: vec![one.client.clone()] },
            several => Who { certainty: Certainty::OneOf, clients: clients(several) },
        }
    }
}

/// The same process, whichever thread of it. `/proc` tells its start in hundredths of a second.
fn same(a: Task, b: Task) -> bool {
    a.process == b.process && a.start.abs_diff(b.start) < 20_000_000
}

/// Whether a command line is a client's that does this to that container: `docker exec -it web sh`.
fn names_it(arguments: &[String], action: &Action, names: &[&str]) -> bool {
    let verbs: &[&str] = match action {
        Action::Create => &["create", "run"],
        Action::Start => &["start", "run", "restart", "up"],
        Action::Restart => &["restart"],
        Action::ExecCreate | Action::ExecStart => &["exec"],
        Action::Kill | Action::Die => &["kill", "stop", "rm", "restart", "down"],
        Action::Stop => &["stop", "restart", "rm", "down"],
        Action::Destroy => &["rm", "run", "down", "prune"],
        Action::Pause => &["pause"],
        Action::Unpause => &["unpause"],
        Action::Rename => &["rename"],
        Action::Update => &["update"],
        Action::Attach => &["attach", "run"],
        Action::Commit => &["commit"],
        Action::Copy => &["cp"],
        Action::Export => &["export"],
        _ => return false,
    };
    let words = arguments.get(1..).unwrap_or_default();
    let Some(verb) = words.iter().position(|w| verbs.contains(&w.as_str())) else { return false };
    let rest = words.get(verb + 1..).unwrap_or_default();
    let is_named = |word: &String| {
        // `--name=web`, `web:/path` of cp.
        let word = word.rsplit('=').next().unwrap_or(word);
        let word = word.split(':').next().unwrap_or(word);
        names.iter().any(|n| *n == word || (word.len() >= 4 && n.len() == 64 && n.starts_with(word)))
    };
    rest.iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "/run/docker.sock";
    const ID: &str = "1aeacf7c912d40393bed9728992d5c985cc343b1e406e0f1c9df9d070ef2b0cb";
    const SECOND: u64 = 1_000_000_000;

    fn actor(process: u32, name: &str) -> Actor {
        Actor { task: Task { process, thread: process, start: 5 }, name: name.into(), ..Actor::default() }
    }
    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_only_process_that_connected_just_before_is_the_one() {
        let mut clients = Clients::default();
        clients.connected(SECOND, &actor(7, "old"), SOCKET);
        clients.connected(10 * SECOND, &actor(8, "curl"), SOCKET);
        clients.connected(10 * SECOND, &actor(9, "other"), "/run/podman/podman.sock");
        let who = clients.who(SOCKET, 10 * SECOND + 5, &Action::Create, &["web", ID]);
        assert_eq!((who.certainty, who.clients.len()), (Certainty::OnlyOne, 1));
        assert_eq!(who.clients[0].task.process, 8);
        assert_eq!(
            clients.who(SOCKET, 60 * SECOND, &Action::Create, &["web"]).certainty,
            Certainty::NotKnown
        );
    }

    #[test]
    fn of_several_the_one_whose_command_line_names_it_is_taken() {
        let mut clients = Clients::default();
        for (process, line) in
            [(7, "docker ps"), (8, "docker exec -u 0 1aeacf7c912d sh"), (9, "docker exec db sh")]
        {
            clients.executed(SECOND, &actor(process, "docker"), "/usr/bin/docker", &words(line));
            clients.connected(SECOND, &actor(process, "docker"), SOCKET);
        }
        let who = clients.who(SOCKET, SECOND, &Action::ExecCreate, &["web", ID]);
        assert_eq!((who.certainty, who.clients[0].task.process), (Certainty::Named, 8));
        let who = clients.who(SOCKET, SECOND, &Action::Pause, &["web", ID]);
        assert_eq!((who.certainty, who.clients.len()), (Certainty::OneOf, 3), "nothing tells them apart");
    }

    #[test]
    fn a_command_line_that_names_the_container_for_something_else_is_not_it() {
        assert!(names_it(&words("docker run --name=web x"), &Action::Create, &["web"]));
        assert!(names_it(
            &words("docker -H unix:///run/docker.sock cp web:/etc/x ."),
            &Action::Copy,
            &["web"]
        ));
        assert!(!names_it(&words("docker logs web"), &Action::ExecCreate, &["web"]));
        assert!(!names_it(&words("docker exec webb sh"), &Action::ExecCreate, &["web"]));
        assert!(!names_it(&[], &Action::ExecCreate, &["web"]));
    }

    #[test]
    fn memory_is_bounded() {
        let mut clients = Clients::default();
        for process in 0..10_000 {
            for _ in 0..40 {
                clients.connected(1, &actor(process, "x"), SOCKET);
            }
        }
        assert_eq!(clients.seen.len(), KEPT);
        assert!(clients.seen.iter().all(|s| s.connected.len() <= 16));
    }
}
