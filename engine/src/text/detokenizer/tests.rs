//! Streams of ids against the text of the whole.
//! Never runs a model; ids are bytes of a byte-level vocabulary, or of a byte-fallback one.
//! Run by `cargo test -p engine`.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{model::fixture::TinyModel, text::HubVocabulary};

fn vocabulary(json: &serde_json::Value) -> Arc<dyn Vocabulary> {
    Arc::new(HubVocabulary::from_json(json.to_string().as_bytes()).expect("tokenizer"))
}

fn pieces(vocabulary: &Arc<dyn Vocabulary>, ids: &[u32]) -> Vec<String> {
    let mut detokenizer = Detokenizer::new(Arc::clone(vocabulary));
    ids.iter().map(|id| detokenizer.push(*id).expect("decode")).collect()
}

/// As sentencepiece models have it: `▁` for spaces, one token per byte for unknown characters.
fn fallback() -> serde_json::Value {
    let mut entries = serde_json::Map::new();
    for byte in 0..256 {
        entries.insert(format!("<0x{byte:02X}>"), byte.into());
    }
    for (index, text) in ["▁", "▁a", "b", "▁the", "é"].into_iter().enumerate() {
        entries.insert(text.to_owned(), (256 + index).into());
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null,
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                   "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                   "vocab": entries, "merges": [] },
    })
}

#[test]
fn half_characters_wait_for_the_rest() {
    let byte_level = vocabulary(&TinyModel::new(0).tokenizer);
    let seen = |text: &[u8]| {
        let ids: Vec<u32> = text.iter().copied().map(u32::from).collect();
        pieces(&byte_level, &ids).join("|")
    };
    assert_eq!(seen("a€b".as_bytes()), "a|||€|b");
    assert_eq!(seen("😀".as_bytes()), "|||😀");
    assert_eq!(seen(b"a\xE2\x82"), "a||", "never finished, never shown");
    assert_eq!(seen(b"\xE2\x82x"), "||\u{FFFD}x", "certainly broken once something else follows");
}

#[test]
fn spaces_and_byte_tokens_of_sentencepiece_models_come_out_right() {
    let fallback = vocabulary(&fallback());
    let (a, b, the, e) = (257, 258, 259, 260);
    let euro = [0xE2, 0x82, 0xAC];
    let rows: [(Vec<u32>, &str); 5] = [
        (vec![a, b, the, b], "ab theb"),
        ([vec![the], euro.to_vec(), vec![a]].concat(), "the€ a"),
        ([euro.to_vec(), vec![the], euro.to_vec()].concat(), "€ the€"),
        ([euro.to_vec(), euro.to_vec()].concat(), "€€"),
        (vec![0x0A, a, 0x0A, the], "\n a\n the"),
    ];
    for (ids, expected) in rows {
        assert_eq!(fallback.decode(&ids).expect("decode"), expected);
        assert_eq!(pieces(&fallback, &ids).concat(), expected);
    }
    let long = [[a, e].repeat(40), euro.to_vec(), [the].repeat(40)].concat();
    assert_eq!(pieces(&fallback, &long).concat(), fallback.decode(&long).expect("decode"));
    let broken = [vec![a], euro.to_vec(), vec![0x80, 0xE2, 0x82], vec![b, 0xE2]].concat();
    assert_eq!(
        pieces(&fallback, &broken).concat(),
        "a€\u{FFFD}\u{FFFD}b",
        "one wrong byte spoils no other character"
    );
}

proptest! {
    /// The pieces are the text of the whole, but for marks at its end that might still become a character.
    #[test]
    fn pieces_add_up_to_the_whole(
        parts in prop::collection::vec(prop_oneof![
            4 => ".{1,3}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 1..4),
            1 => prop::collection::vec(0x80_u8..0xC0, 1..90),
        ], 0..40),
    ) {
        let byte_level = vocabulary(&TinyModel::new(0).tokenizer);
        let bytes = parts.concat();
        let ids: Vec<u32> = bytes.iter().copied().map(u32::from).collect();
        let found = pieces(&byte_level, &ids).concat();
        let whole = String::from_utf8_lossy(&bytes);
        prop_assert!(whole.starts_with(&found), "{:?} is not the start of {:?}", found, whole);
        let rest: Vec<char> = whole[found.len()..].chars().collect();
        prop_assert!(rest.len() <= 3 && rest.iter().all(|mark| *mark == REPLACEMENT), "missing: {:?}", rest);
    }
}
