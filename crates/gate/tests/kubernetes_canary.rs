//! The trials of the webhook, sent to one that serves over real TLS.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "kubernetes/served.rs"]
mod served;
#[path = "kubernetes/wrap.rs"]
mod wrap;

use gate::canary::kubernetes::Webhook;
use gate::canary::{Verdict, verdict};
use served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_judges_is_live_and_one_that_cannot_be_trusted_is_not_proven() {
    let served = Served::new().await;
    let authority = served.folder.path().join("authority.crt");
    std::fs::write(&authority, served.authority.pem()).unwrap();
    let address = format!("https://{}/review", served.address);
    let tried = |name: Option<&'static str>, path: &str| {
        let webhook = Webhook::new(&address.replace("/review", path), &authority, name).unwrap();
        tokio::task::spawn_blocking(move || webhook.run("default").unwrap())
    };
    let trials = tried(Some("localhost"), "/review").await.unwrap();
    assert_eq!(verdict(&trials), Verdict::Live, "{trials:#?}");
    let trials = tried(Some("other.example"), "/review").await.unwrap();
    assert_eq!(verdict(&trials), Verdict::NotKnown, "{trials:#?}");
    let trials = tried(Some("localhost"), "/elsewhere").await.unwrap();
    assert_eq!(verdict(&trials), Verdict::NotKnown, "{trials:#?}");
    served.ended().await;
}
