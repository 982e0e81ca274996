//! The webhook over real TLS: answers, limits, slow and many clients, files that change while it serves.

#[path = "kubernetes/served.rs"]
mod served;
#[path = "kubernetes/wrap.rs"]
mod wrap;

use std::time::{Duration, Instant};

use gate::kubernetes::webhook::Recorder;
use gate::log::Log;
use serde_json::{Value, json};
use served::{Answer, Served, With, ask, connect, head};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use wrap::Review;

fn pod(privileged: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "containers": [{
            "name": "web", "image": "nginx", "securityContext": { "privileged": privileged },
        }] },
    })
}

fn review(privileged: bool) -> Vec<u8> {
    serde_json::to_vec(&Review::create(pod(privileged)).to_json()).unwrap()
}

fn allowed(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{answer:?}");
    let response = answer.response();
    assert_eq!(response["uid"], Review::UID);
    response["allowed"].as_bool().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_are_answered_one_after_another_on_one_connection() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    for privileged in [false, true, false, true] {
        assert_eq!(allowed(&ask(&mut stream, &review(privileged)).await), !privileged);
    }
    let metrics = served.observed("/metrics").await.text;
    for sample in [
        r#"decisions_total{door="kubernetes",outcome="allow",operation="CREATE",kind="Pod"} 2"#,
        r#"decisions_total{door="kubernetes",outcome="deny",operation="CREATE",kind="Pod"} 2"#,
        "review_seconds_count 4",
        "policy_stale 0",
        "connections 1",
        "in_flight 0",
    ] {
        assert!(metrics.contains(&format!("stockade_gate_{sample}\n")), "{sample} in\n{metrics}");
    }
    assert_eq!(served.observed("/livez").await.status, 200);
    assert_eq!(served.observed("/readyz").await.text, "ready\n");
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_review_gets_an_error_that_an_api_server_takes_for_a_refusal() {
    let served = Served::new().await;
    for body in [
        &b""[..],
        b"{}",
        b"not json",
        br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#,
        br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1"},"request":{"uid":"2"}}"#,
        b"\xff\xfe",
    ] {
        let answer = served.review(body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text.contains("AdmissionReview"), "{answer:?}");
    }
    let mut stream = served.connect().await;
    stream.write_all(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(served::answer(&mut stream).await.unwrap().status, 404);
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    stream.write_all(head(1 << 30).as_bytes()).await.unwrap();
    assert_eq!(served::answer(&mut stream).await.unwrap().status, 413);

    // Without a length it is cut off where it gets too long.
    let mut stream = served.connect().await;
    let head = "POST /review HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [&b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..20 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let answer = timeout(served::LIMIT, served::answer(&mut stream)).await.unwrap();
    assert!(answer.is_none_or(|answer| answer.status == 413));
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_authority_of_clients_is_given_who_shows_no_certificate_is_not_heard() {
    let served = Served::with(With { mutual: true, ..With::default() }).await;
    let mut known = connect(served.address, served.authority.client(true)).await.unwrap();
    assert!(allowed(&ask(&mut known, &review(false)).await));

    let heard = async {
        // In TLS 1.3 the server's refusal comes behind the handshake.
        let mut stream = connect(served.address, served.authority.client(false)).await?;
        stream.write_all(head(0).as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await
    };
    assert!(timeout(served::LIMIT, heard).await.unwrap().is_err());
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_none() {
    let served = Served::new().await;
    let serial = |stream: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        x509_parser::parse_x509_certificate(&certificate).unwrap().1.serial.to_string()
    };
    let mut old = served.connect().await;
    assert_eq!(serial(&old), "1");

    served.authority.write(served.folder.path(), 2);
    let fresh = async {
        while serial(&served.connect().await) != "2" {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(served::LIMIT, fresh).await.expect("the new certificate is shown");
    assert!(allowed(&ask(&mut old, &review(false)).await), "who was connected is answered as before");

    std::fs::write(served.folder.path().join("tls.crt"), "nonsense").unwrap();
    let failed = r#"reloads_total{what="certificate",result="failure"} 1"#;
    served.until("/metrics", |answer| answer.text.contains(failed)).await;
    assert_eq!(serial(&served.connect().await), "2");
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_leaves_the_last_good_one_and_a_mended_one_takes_over() {
    let served = Served::new().await;
    assert!(!allowed(&served.review(&review(true)).await));

    served.write_policy("version: 1\nopen: perhaps\n");
    served.until("/metrics", |answer| answer.text.contains("stockade_gate_policy_stale 1")).await;
    assert!(!allowed(&served.review(&review(true)).await));
    let ready = served.observed("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.text.contains("last good policy") && ready.text.contains("policy.yaml:2:7"), "{ready:?}");

    served.write_policy("version: 1\nopen: warn\n");
    served.until("/metrics", |answer| answer.text.contains("stockade_gate_policy_stale 0")).await;
    let answer = served.review(&review(true)).await;
    assert!(allowed(&answer));
    let warnings = answer.response()["warnings"].clone();
    let warnings: Vec<&str> = warnings.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(warnings[0].starts_with("shop/web/web: warned of: "), "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.len() <= 256));
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_hold_up_nobody_else() {
    let within = Duration::from_secs(3);
    let served = Served::with(With { answer_within: within, ..With::default() }).await;
    let mut waiting = Vec::new();
    // Some that never begin to speak TLS, and some that never end a request.
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(served.address).await.unwrap());
        let mut stream = served.connect().await;
        let half = [head(5000).into_bytes(), b"{".to_vec()].concat();
        stream.write_all(&half).await.unwrap();
        waiting.push(stream);
    }
    let begun = Instant::now();
    assert!(!allowed(&served.review(&review(true)).await));
    assert!(begun.elapsed() < within, "others wait no longer for it");
    for stream in &mut waiting {
        let answer = timeout(served::LIMIT, served::answer(stream)).await.unwrap().expect("an answer");
        assert_eq!(answer.status, 408);
    }
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_decided_in_time_is_denied() {
    let within = Duration::from_millis(400);
    let served = Served::with(With { answer_within: within, ..With::default() }).await;
    let containers: Vec<Value> = (0..3000)
        .map(|n| {
            json!({ "name": format!("c{n}"), "image": "nginx",
                "securityContext": { "runAsUser": n, "capabilities": { "add": ["SYS_ADMIN"] } } })
        })
        .collect();
    let mut large = pod(false);
    large["spec"]["containers"] = containers.into();
    let large = serde_json::to_vec(&Review::create(large).to_json()).unwrap();
    let begun = Instant::now();
    let answer = served.review(&large).await;
    assert!(!allowed(&answer));
    let message = answer.response()["status"]["message"].clone();
    assert!(message.as_str().unwrap().contains("did not come to a decision within 0.4"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(served.observed("/metrics").await.text.contains(r#"failures_total{reason="late"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_in_flight_are_each_decided_as_they_should_be() {
    let served = std::sync::Arc::new(Served::new().await);
    let mut tasks = Vec::new();
    for n in 0..1000 {
        let served = served.clone();
        tasks.push(tokio::spawn(async move {
            let privileged = n % 2 == 0;
            let mut stream = served.connect().await;
            (privileged, allowed(&ask(&mut stream, &review(privileged)).await))
        }));
    }
    for task in tasks {
        let (privileged, allowed) = timeout(served::LIMIT, task).await.unwrap().unwrap();
        assert_eq!(allowed, !privileged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_in_the_log_and_what_cannot_be_recorded_is_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log").join("decisions.log");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let recorder = Recorder::Log(Box::new(Log::open(&path).unwrap()));
    let served = Served::with(With { recorder, ..With::default() }).await;
    assert!(allowed(&served.review(&review(false)).await));
    assert!(!allowed(&served.review(&review(true)).await));
    assert_eq!(served.review(b"{}").await.status, 400);
    let text = std::fs::read_to_string(&path).unwrap();
    let decisions: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line.get("door").is_some() || line.pointer("/record/door").is_some())
        .collect();
    assert_eq!(decisions.len(), 2, "{text}");
    assert!(text.contains("CREATE pods shop/web") && text.contains("\"ada\""), "{text}");

    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let answer = served.review(&review(false)).await;
    assert!(!allowed(&answer));
    let message = answer.response()["status"]["message"].clone();
    assert!(message.as_str().unwrap().contains("cannot be recorded"), "{message}");
    served.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_it_is_not_ready_first_and_then_answers_those_who_have_asked() {
    let drain = Duration::from_millis(1500);
    let mut served = Served::with(With { drain, ..With::default() }).await;
    let mut stream = served.connect().await;
    served.ask_to_end();
    served.until("/readyz", |answer| answer.status == 503).await;
    assert!(allowed(&served.review(&review(false)).await), "who does not know it yet is answered");

    let body = review(true);
    stream.write_all(head(body.len()).as_bytes()).await.unwrap();
    sleep(drain).await;
    stream.write_all(&body).await.unwrap();
    let answer = timeout(served::LIMIT, served::answer(&mut stream)).await.unwrap().expect("an answer");
    assert!(!allowed(&answer));
    served.ended().await;
}
