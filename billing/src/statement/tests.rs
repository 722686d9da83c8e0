//! Keys are read back, and a signature fits one text and one key alone.
//! Never a ledger: how statements are stored is tested over both databases.
//! Run by `cargo test`.

use domain::{JournalId, RecordHash};
use uuid::Uuid;

use super::*;

/// As `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write one and the same key.
const OPENSSL: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIOmTW3LnVEr/K/tzJqDCp2lEKENNWPG/OHX/nk+XP1uq\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAruZ2xrlCizwLLknocB+/awG1y0NII4trOm7SBI7rz8Q=\n-----END PUBLIC KEY-----\n",
];

fn statement() -> Statement {
    let journal_id = JournalId::from_uuid(Uuid::from_u128(3));
    let mut builder = SealBuilder::default();
    for number in [2, 1, 3] {
        let hash = RecordHash::from_bytes([number; 32]);
        let used = crate::ledger::UsageTotals { requests: 1, ..Default::default() };
        builder.add((journal_id, u64::from(number), hash), &used).expect("it fits");
    }
    Statement {
        schema: SCHEMA.to_owned(),
        tenant: StatedTenant { id: "t".to_owned(), name: "acme".to_owned() },
        period: StatedPeriod { start: "a".to_owned(), end: "b".to_owned(), zone: "UTC".to_owned() },
        invoice: StatedInvoice {
            number: "TG-000001".to_owned(),
            sha256: "00".to_owned(),
            total: "1.00".to_owned(),
            currency: "USD".to_owned(),
        },
        usage: builder.finish(),
        made_at: String::new(),
        key_id: String::new(),
        signature: String::new(),
    }
}

#[test]
fn keys_are_read_back_and_named_alike() {
    let (made, private_pem) = SigningKey::generate().expect("a key");
    for [private, public] in [[private_pem.as_str(), &made.public().to_pem()], OPENSSL] {
        let private = SigningKey::from_pem(private).expect("a private key");
        let public = PublicKey::from_pem(public).expect("a public key");
        assert_eq!((private.public(), public.id().len()), (public, 16));
        // Neither half passes for the other.
        assert!(SigningKey::from_pem(&public.to_pem()).is_err());
    }
    assert!(PublicKey::from_pem(&private_pem).is_err());
    assert!(!format!("{made:?}").contains("PRIVATE"));
    for text in ["", "no key", "-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----"] {
        assert!(PublicKey::from_pem(text).is_err() && SigningKey::from_pem(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_signature_fits_one_text_and_one_key() {
    let now = Timestamp::from_unix_micros(0);
    let (key, _) = SigningKey::generate().expect("a key");
    let (other, _) = SigningKey::generate().expect("a key");
    let signed = statement().sign(&key, now).expect("signed");
    assert!(signed.check_signature(&[other.public(), key.public()]).is_ok());
    assert!(matches!(signed.check_signature(&[other.public()]), Err(StatementError::OtherKey(_))));
    // Ed25519 needs no random numbers: the same statement has the same bytes.
    assert_eq!(statement().sign(&key, now).expect("signed"), signed);
    let forged = Statement { key_id: other.public().id(), ..signed.clone() };
    assert!(matches!(forged.check_signature(&[other.public()]), Err(StatementError::BadSignature(_))));
    let mut changed = signed.clone();
    changed.usage.records += 1;
    assert!(matches!(changed.check_signature(&[key.public()]), Err(StatementError::BadSignature(_))));
    assert_eq!(Statement::from_json(&signed.to_json().expect("json")).expect("read"), signed);
    let newer = signed.to_json().expect("json").replacen("statement/1", "statement/2", 1);
    assert!(matches!(Statement::from_json(&newer), Err(StatementError::Unreadable(_))));
}

#[test]
fn a_seal_knows_its_journals_and_what_came_later() {
    let seal = statement().usage;
    assert_eq!((seal.records, seal.journals.len()), (3, 1));
    let head = seal.journals[0];
    assert_eq!((head.records, head.last_sequence, head.last_hash), (3, 3, RecordHash::from_bytes([3; 32])));
    assert!(!seal.is_late(head.journal_id, 3) && seal.is_late(head.journal_id, 4));
    assert!(seal.is_late(JournalId::from_uuid(Uuid::from_u128(9)), 1));
    let hashes: Vec<u8> = [[2_u8; 32], [1; 32], [3; 32]].concat();
    assert_eq!(seal.records_sha256, hex::encode(Sha256::digest(hashes)));
    assert_eq!(Seal::from_json(&seal.to_json().expect("json")).expect("read"), seal);
}
