//! Deliveries to a receiver on this machine: signed, again after failures, in order, once again after a crash.
//! Never waits for real time: the time of day is an argument.
//! Run by `cargo test -p gateway`.

use std::sync::Mutex;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use billing::{
    ledger::{
        CreditTerms, Delivery, Endpoint, EventKind, Limits, NewEndpoint, NewGrant, NewTenant, Tenant,
        TenantTerms, WebhookSecret,
    },
    plan::Plan,
};
use domain::{EventId, Money, Nanos};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_micros(1_794_268_800_000_000);

/// A message as it came.
#[derive(Clone, Debug)]
struct Message {
    head: String,
    body: String,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        let line = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        let found = self.head.lines().find(|text| line(text)).expect("the header");
        found.split_once(':').map(|(_, value)| value.trim()).expect("a value")
    }

    /// Checked as a receiver would, with code of its own.
    fn is_signed_by(&self, secret: &WebhookSecret) -> bool {
        let signed =
            format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal());
        self.header("webhook-signature").split(' ').any(|one| {
            let tag = one.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
            hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
        })
    }
}

/// A receiver that answers each message as its script says; then with 204. A status of zero never answers.
#[derive(Clone)]
struct Receiver {
    url: String,
    seen: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    async fn start(script: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let seen: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (kept, script) = (Arc::clone(&seen), script.to_vec());
        tokio::spawn(async move {
            let mut script = script.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let message = loop {
                    let mut part = [0; 4_096];
                    let count = stream.read(&mut part).await.unwrap_or(0);
                    bytes.extend_from_slice(&part[..count]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let message = Message { head: head.to_owned(), body: body.to_owned() };
                        if message.header("content-length") == body.len().to_string() {
                            break message;
                        }
                    }
                    if count == 0 {
                        break Message { head: text, body: String::new() };
                    }
                };
                kept.lock().expect("a lock").push(message);
                match script.next().unwrap_or(204) {
                    0 => tokio::spawn(async move {
                        // Held open and never answered.
                        tokio::time::sleep(Duration::from_secs(600)).await;
                        drop(stream);
                    }),
                    status => tokio::spawn(async move {
                        let location = "location: http://127.0.0.1:1/elsewhere\r\n";
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n"
                        );
                        stream.write_all(answer.as_bytes()).await.ok();
                    }),
                };
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<Message> {
        self.seen.lock().expect("a lock").clone()
    }
}

struct Stand {
    ledger: Ledger,
    tenant: Tenant,
    notifier: Notifier,
    grants: u32,
    _folder: TempDir,
}

impl Stand {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = Ledger::connect(&url).await.expect("a ledger");
        ledger.publish_plan(&Plan::demo().expect("the demo plan"), NOW).await.expect("published");
        let (limits, terms) = (Limits::default(), TenantTerms::default());
        let new = NewTenant { name: "acme", plan_name: "demo", zone: "UTC", limits, terms };
        let tenant = ledger.create_tenant(&new, NOW).await.expect("a tenant");
        let terms = CreditTerms { recharge_below: Some(Nanos::new(5)), ..CreditTerms::default() };
        ledger.set_credit_terms(tenant.id, terms, NOW).await.expect("terms");
        let notifier =
            Notifier { try_max: Duration::from_millis(300), ..Notifier::new(ledger.clone(), true) };
        Self { ledger, tenant, notifier, grants: 0, _folder: folder }
    }

    async fn endpoint(&self, url: &str, kinds: &[EventKind], secret: &WebhookSecret) -> Endpoint {
        let new = NewEndpoint { tenant_id: Some(self.tenant.id), url, kinds, secret };
        self.ledger.add_webhook(&new, NOW).await.expect("an endpoint")
    }

    /// Makes the balance rise and fall below its threshold: one event.
    async fn event(&mut self, at: Timestamp) {
        for amount in [10, -10] {
            self.grants += 1;
            let key = self.grants.to_string();
            let grant = NewGrant::paid(Money::from_nanos(amount, self.tenant.currency), &key, "");
            self.ledger.add_grant(self.tenant.id, &grant, at).await.expect("granted");
        }
    }

    async fn deliver(&self, at: Timestamp) -> usize {
        self.notifier.deliver_due(|| at, &CancellationToken::new()).await.expect("the ledger")
    }

    async fn deliveries(&self, endpoint: &Endpoint) -> Vec<Delivery> {
        self.ledger.deliveries_page(endpoint.id, None, 100).await.expect("deliveries")
    }
}

fn later(seconds: u64) -> Timestamp {
    after(NOW, Duration::from_secs(seconds))
}

fn secret() -> WebhookSecret {
    new_secret().expect("random numbers")
}

#[tokio::test]
async fn messages_are_signed_and_tried_again_with_the_same_id() {
    let mut stand = Stand::new().await;
    let receiver = Receiver::start(&[500, 0, 302, 204]).await;
    let first = secret();
    let endpoint = stand.endpoint(&receiver.url, &[EventKind::CreditLow], &first).await;
    // An instant of its own: ids of one instant have no order.
    let mut at = later(1);
    stand.event(at).await;
    for tries in 1..=4 {
        assert_eq!(stand.deliver(at).await, 1, "try {tries}");
        assert_eq!(stand.deliver(at).await, 0, "not before it is due");
        at = after(at, RETRY_MIN * 3_u32.pow(tries));
    }
    assert_eq!(stand.deliver(at).await, 0, "delivered once");
    let seen = receiver.seen();
    assert_eq!(seen.len(), 4, "a redirect is not followed");
    let events = stand.ledger.events_page(stand.tenant.id, None, 9).await.expect("events");
    let event = events.last().expect("an event");
    for message in &seen {
        assert!(message.is_signed_by(&first) && !message.is_signed_by(&secret()));
        assert_eq!(
            (message.header("webhook-id"), &message.body),
            (event.id.to_string().as_str(), &seen[0].body)
        );
    }
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["tenant"]), (&json!("credit.low"), &json!("acme")));
    assert!(
        seen[0].header("webhook-timestamp") < seen[3].header("webhook-timestamp"),
        "each try has its own time"
    );
    let delivery = stand.deliveries(&endpoint).await.remove(0);
    assert_eq!((delivery.state.as_str(), delivery.attempts), ("delivered", 4));
    let log: Vec<_> = delivery
        .log
        .iter()
        .rev()
        .map(|tried| (tried.attempt, tried.outcome.as_str(), tried.status))
        .collect();
    let expected = [
        (1, "refused", Some(500)),
        (2, "timed_out", None),
        (3, "refused", Some(302)),
        (4, "delivered", Some(204)),
    ];
    assert_eq!(log, expected);
    assert!(!format!("{delivery:?}{endpoint:?}").contains(&secret_text(&first)));
}

#[tokio::test]
async fn an_endpoint_hears_one_after_another_and_a_crash_makes_a_message_come_twice() {
    let mut stand = Stand::new().await;
    let receiver = Receiver::start(&[503]).await;
    let endpoint = stand.endpoint(&receiver.url, &[], &secret()).await;
    for second in 0..3 {
        stand.event(later(second)).await;
    }
    // The first fails; those behind it wait for it.
    assert_eq!(stand.deliver(later(10)).await, 1);
    assert_eq!(stand.deliver(later(10)).await, 0);
    // Another process takes the first and dies after it was delivered: its lease ends, and it comes again.
    let crashed =
        stand.ledger.claim_deliveries((later(20), after(later(20), LEASE)), 9).await.expect("claimed");
    let (status, outcome) = stand.notifier.send(&crashed[0], later(20)).await;
    assert_eq!((status, outcome, crashed.len()), (Some(204), AttemptOutcome::Delivered, 1));
    assert_eq!(stand.deliver(later(79)).await, 0, "it is still leased");
    // All that waited goes out in one look, one after another.
    assert_eq!(stand.deliver(later(81)).await, 3);
    assert_eq!(stand.deliver(later(81)).await, 0);
    let ids: Vec<_> = receiver.seen().iter().map(|message| message.header("webhook-id").to_owned()).collect();
    let mut events: Vec<_> =
        stand.deliveries(&endpoint).await.iter().map(|found| found.event_id.to_string()).collect();
    events.sort_unstable();
    assert_eq!(ids, [&events[0], &events[0], &events[0], &events[1], &events[2]].map(Clone::clone));
    // Resent, it comes once more, as the same message.
    let event: EventId = events[1].parse().expect("an id");
    stand.ledger.resend_delivery(endpoint.id, event, later(90)).await.expect("resent");
    assert_eq!(stand.deliver(later(90)).await, 1);
    assert_eq!(receiver.seen().last().expect("a message").header("webhook-id"), events[1]);
    assert!(stand.ledger.resend_delivery(endpoint.id, EventId::generate(NOW), NOW).await.is_err());
}

#[tokio::test]
async fn a_hundred_events_go_out_in_one_look_in_their_order() {
    let mut stand = Stand::new().await;
    let (receiver, silent) = (Receiver::start(&[]).await, Receiver::start(&[0; 2]).await);
    let endpoint = stand.endpoint(&receiver.url, &[], &secret()).await;
    stand.endpoint(&silent.url, &[], &secret()).await;
    for second in 0..100 {
        stand.event(later(second)).await;
    }
    // One that never answers gets its first message only, and holds up nobody.
    assert_eq!(stand.deliver(later(200)).await, 101);
    let mut events: Vec<_> = Vec::new();
    let mut before = None;
    loop {
        let page = stand.ledger.deliveries_page(endpoint.id, before, 100).await.expect("deliveries");
        before = page.last().map(|delivery| delivery.event_id);
        if page.is_empty() {
            break;
        }
        events.extend(page.into_iter().map(|delivery| delivery.event_id.to_string()));
    }
    events.sort_unstable();
    let seen: Vec<_> =
        receiver.seen().iter().map(|message| message.header("webhook-id").to_owned()).collect();
    assert_eq!((seen.len(), seen), (100, events));
    // Once it is stopping, nothing begins.
    stand.event(later(300)).await;
    let stopping = CancellationToken::new();
    stopping.cancel();
    assert_eq!(stand.notifier.deliver_due(|| later(300), &stopping).await.expect("the ledger"), 0);
}

#[tokio::test]
async fn secrets_are_rotated_with_an_overlap() {
    let mut stand = Stand::new().await;
    let receiver = Receiver::start(&[]).await;
    let (old, new) = (secret(), secret());
    let endpoint = stand.endpoint(&receiver.url, &[], &old).await;
    stand.ledger.rotate_webhook(endpoint.id, &new, (NOW, later(60))).await.expect("rotated");
    for seconds in [1, 61] {
        stand.event(later(seconds)).await;
        assert_eq!(stand.deliver(later(seconds)).await, 1);
    }
    let signed: Vec<_> = receiver
        .seen()
        .iter()
        .map(|message| (message.is_signed_by(&old), message.is_signed_by(&new)))
        .collect();
    assert_eq!(signed, [(true, true), (false, true)]);
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_for_days_is_disabled_and_an_event_is_given_up() {
    let mut stand = Stand::new().await;
    let receiver = Receiver::start(&[500; 60]).await;
    let endpoint = stand.endpoint(&receiver.url, &[], &secret()).await;
    let other = stand.endpoint(&receiver.url, &[EventKind::InvoiceIssued], &secret()).await;
    stand.event(NOW).await;
    let mut at = NOW;
    let mut tries = 0;
    while at <= after(NOW, GIVE_UP * 2) {
        tries += stand.deliver(at).await;
        at = after(at, RETRY_MAX / 2);
    }
    let found = stand.ledger.webhook(endpoint.id).await.expect("there");
    let delivery = stand.deliveries(&endpoint).await.remove(0);
    assert_eq!(
        (delivery.state.as_str(), usize::try_from(delivery.attempts).expect("few")),
        ("failed", tries)
    );
    assert!((10..60).contains(&tries), "{tries}");
    assert!(found.failing_since == Some(NOW));
    // From anew: two events wait, and the first is tried once more when nothing was taken for long enough.
    stand.ledger.enable_webhook(endpoint.id).await.expect("enabled");
    for at in [at, after(at, Duration::from_secs(1))] {
        stand.event(at).await;
    }
    assert_eq!(stand.deliver(at).await, 1);
    let end = after(at, GIVE_UP);
    assert_eq!(stand.deliver(end).await, 1);
    assert_eq!(stand.ledger.webhook(endpoint.id).await.expect("there").disabled_at, Some(end));
    assert_eq!(stand.deliver(end).await, 0, "nothing is sent any more");
    let enabled = stand.ledger.enable_webhook(endpoint.id).await.expect("enabled");
    assert_eq!((enabled.disabled_at, enabled.failing_since), (None, None));
    assert_eq!(stand.deliver(end).await, 1, "what waited is sent");
    assert_eq!(stand.deliveries(&other).await, [], "it asked for other events");
}

#[tokio::test]
async fn private_addresses_are_not_called() {
    let mut stand = Stand::new().await;
    let receiver = Receiver::start(&[]).await;
    let endpoint =
        stand.endpoint(&receiver.url.replace("http://127.0.0.1", "https://localhost"), &[], &secret()).await;
    stand.notifier = Notifier { is_private_allowed: false, ..stand.notifier };
    stand.event(NOW).await;
    assert_eq!(stand.deliver(NOW).await, 1);
    let delivery = stand.deliveries(&endpoint).await.remove(0);
    assert_eq!((delivery.log[0].outcome.as_str(), receiver.seen().len()), ("forbidden_address", 0));
}

#[test]
fn waits_grow_and_scatter() {
    let seconds = |failures, chance| retry_after(failures, chance).as_millis();
    assert_eq!([0, 1, 2, 3].map(|failures| seconds(failures, 0)), [5_000, 15_000, 45_000, 135_000]);
    assert_eq!((seconds(0, 1_000), seconds(0, 500), seconds(0, 9_999)), (2_500, 3_750, 2_500));
    assert_eq!(seconds(40, 0), 21_600_000);
}
