//! The doors of the Docker API, tried by requests to make containers, at the daemon's socket or a filtered one.
//!
//! A door refuses with 403 (moby pkg/authorization: "authorization denied by plugin"); a daemon without one makes the
//! container (201), or does not find its image (404), which is as well a proof that the request came to it.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use sources::engine_api::Endpoint;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{Became, Expected, Trial, http, short};

/// A decision takes milliseconds; a door that hangs is none.
const PATIENCE: Duration = Duration::from_secs(40);
/// On whatever is made, so that it can be found.
pub const LABEL: &str = "dev.stockade.gate-test";
/// Where there is no image: the daemon does not find it, and says so after its doors have let the request through.
const NO_IMAGE: &str = "stockade.invalid/gate-test:none";

/// What is asked for beside what a sound container is.
struct Danger {
    asked: &'static str,
    change: fn(&Value) -> String,
    chunked: bool,
}

/// The sound body with members of its HostConfig set, as root: what a user without rights cannot use opens nothing.
fn with(sound: &Value, members: &Value) -> String {
    let mut body = sound.clone();
    body["User"] = json!("0:0");
    if let (Some(Value::Object(host)), Value::Object(members)) = (body.get_mut("HostConfig"), members) {
        host.extend(members.clone());
    }
    body.to_string()
}

const DANGERS: [Danger; 8] = [
    Danger {
        asked: "a privileged container",
        change: |sound| with(sound, &json!({"Privileged": true})),
        chunked: false,
    },
    Danger {
        asked: "the daemon's socket as a mount",
        change: |sound| with(sound, &json!({"Binds": ["/run/docker.sock:/run/docker.sock:ro"]})),
        chunked: false,
    },
    Danger {
        asked: "the host's root as a mount",
        change: |sound| {
            let mounts = json!({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]});
            with(sound, &mounts)
        },
        chunked: false,
    },
    Danger {
        asked: "the host's processes and the right to trace them",
        change: |sound| {
            let host = json!({
                "PidMode": "host", "CapAdd": ["ALL"], "CapDrop": [],
                "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            });
            with(sound, &host)
        },
        chunked: false,
    },
    Danger {
        asked: "a volume that shows the host's root",
        change: |sound| {
            let options = json!({"type": "none", "o": "bind", "device": "/"});
            let driver = json!({"DriverConfig": {"Name": "local", "Options": options}});
            with(sound, &json!({"Mounts": [{"Type": "volume", "Target": "/host", "VolumeOptions": driver}]}))
        },
        chunked: false,
    },
    Danger {
        asked: "a privileged container, its keys in odd case",
        change: |sound| with(sound, &json!({"pRIVILEGED": true})).replace("\"HostConfig\"", "\"hostconfig\""),
        chunked: false,
    },
    Danger {
        asked: "a privileged container, its HostConfig given twice",
        change: |sound| {
            let mut body = with(sound, &json!({}));
            body.pop();
            body + r#","HostConfig":{"Privileged":true}}"#
        },
        chunked: false,
    },
    Danger {
        asked: "a privileged container, its body in chunks",
        change: |sound| with(sound, &json!({"Privileged": true})),
        chunked: true,
    },
];

/// A container that nobody has anything against.
fn sound(image: &str) -> Value {
    json!({
        "Image": image,
        "Cmd": ["/stockade-gate-test-is-never-started"],
        "User": "65534:65534",
        "Labels": {LABEL: "true"},
        "HostConfig": {
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "NetworkMode": "none",
            "ReadonlyRootfs": true,
            "Memory": 16_777_216,
            "PidsLimit": 16,
        },
    })
}

#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    #[error("{0}: this is no address of a daemon: {1}")]
    Endpoint(Endpoint, String),
    #[error("cannot begin: {0}")]
    Runtime(std::io::Error),
}

/// Sends every trial, one after another.
pub fn run(endpoint: &Endpoint, image: Option<&str>) -> Result<Vec<Trial>, CanaryError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CanaryError::Runtime)?;
    Ok(runtime.block_on(trials(endpoint, image)))
}

async fn trials(endpoint: &Endpoint, image: Option<&str>) -> Vec<Trial> {
    let image = match image {
        Some(image) => image.to_owned(),
        None => some_image(endpoint).await.unwrap_or_else(|| NO_IMAGE.to_owned()),
    };
    let sound = sound(&image);
    let name = |number: usize| format!("stockade-gate-test-{}-{number}", std::process::id());
    let mut trials = Vec::new();
    for (number, danger) in DANGERS.iter().enumerate() {
        let body = (danger.change)(&sound);
        let became = create(endpoint, &name(number), &body, danger.chunked).await;
        trials.push(Trial { asked: danger.asked.to_owned(), expected: Expected::Refused, became });
    }
    let became = create(endpoint, &name(DANGERS.len()), &sound.to_string(), false).await;
    trials.push(Trial { asked: format!("a sound container of {image}"), expected: Expected::LetIn, became });
    trials
}

/// The smallest image that is there and has a name.
async fn some_image(endpoint: &Endpoint) -> Option<String> {
    let (status, body) = ask(endpoint, "GET", "/images/json", None, false).await.ok()?;
    let images: Value = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK)?;
    let named = images.as_array()?.iter().filter_map(|image| {
        let name = image
            .get("RepoTags")?
            .as_array()?
            .iter()
            .find_map(|tag| tag.as_str().filter(|tag| !tag.starts_with("<none>")))?;
        Some((image.get("Size")?.as_u64()?, name.to_owned()))
    });
    named.min().map(|(_, name)| name)
}

async fn create(endpoint: &Endpoint, name: &str, body: &str, chunked: bool) -> Became {
    let target = format!("/containers/create?name={name}");
    let answered = ask(endpoint, "POST", &target, Some(body.to_owned()), chunked).await;
    let (status, body) = match answered {
        Ok(answer) => answer,
        // It may have got in though no answer came.
        Err(why) => {
            let _ = remove(endpoint, name).await;
            return Became::NotKnown { why };
        }
    };
    match status {
        StatusCode::FORBIDDEN => Became::Refused { message: short(&message(&body)) },
        StatusCode::CREATED => {
            // By its id: what has that name need not be what was made.
            let made: Option<Value> = serde_json::from_slice(&body).ok();
            let id = made.as_ref().and_then(|m| m.get("Id")?.as_str()).unwrap_or(name);
            Became::LetIn { left: remove(endpoint, id).await.err().map(|why| format!("{name}: {why}")) }
        }
        StatusCode::NOT_FOUND => Became::LetIn { left: None },
        other => Became::NotKnown { why: short(&format!("{other}: {}", message(&body))) },
    }
}

async fn remove(endpoint: &Endpoint, container: &str) -> Result<(), String> {
    let target = format!("/containers/{container}?force=1&v=1");
    match ask(endpoint, "DELETE", &target, None, false).await? {
        (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
        (status, body) => Err(short(&format!("{status}: {}", message(&body)))),
    }
}

/// What the API says of an error.
fn message(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let message = parsed.and_then(|v| Some(v.get("message")?.as_str()?.to_owned()));
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

async fn ask(
    endpoint: &Endpoint,
    method: &str,
    target: &str,
    body: Option<String>,
    chunked: bool,
) -> Result<(StatusCode, Bytes), String> {
    let ask = http::Ask { method, target, host: "docker", body, chunked };
    let asked = async {
        match endpoint {
            Endpoint::Unix(path) => http::exchange(UnixStream::connect(path).await, ask).await,
            Endpoint::Tcp(address) => http::exchange(TcpStream::connect(&**address).await, ask).await,
        }
    };
    timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_danger_differs_from_what_is_sound_and_is_marked() {
        let sound = sound("x");
        for danger in &DANGERS {
            let body = (danger.change)(&sound);
            assert_ne!(body, sound.to_string(), "{}", danger.asked);
            let read: Value = serde_json::from_str(&body).expect(danger.asked);
            assert_eq!(read["Labels"][LABEL], "true", "{}", danger.asked);
        }
        assert!((DANGERS[5].change)(&sound).contains("hostconfig"));
        assert_eq!((DANGERS[6].change)(&sound).matches("HostConfig").count(), 2);
    }
}
