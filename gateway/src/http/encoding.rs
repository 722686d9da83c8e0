//! Request bodies that come compressed: which codings are taken, and decoding within a bound.
//! Never gives out more bytes than the bound, however small the body was that came in.
//! Called by `body::read`, before anything is parsed.

use std::io::Read;

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::ApiError;

/// What a client may compress with, as it is told when it tries another.
pub(super) const CODINGS: &str = "gzip, deflate, zstd, br";
/// The window that a zstd frame may ask for; RFC 9659 bounds it for HTTP. Unit: bytes.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1_024 * 1_024;
/// Room for brotli's input. Unit: bytes.
const BROTLI_BUFFER_BYTES: usize = 4_096;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// As HTTP means it: in zlib's frame.
    Deflate,
    Zstd,
    Brotli,
}

/// Why a compressed body gives no bytes.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// It decodes to more than the bound.
    TooLarge,
    /// It is damaged, cut, or something else.
    Broken,
}

impl Coding {
    /// The coding that the headers name; `None`: the body is as it is.
    ///
    /// Errors: a coding that is not taken, or more than one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(CONTENT_ENCODING);
        let (first, second) = (values.next(), values.next());
        let Some(value) = first else { return Ok(None) };
        let name = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
        match (name.as_str(), second) {
            ("" | "identity", None) => Ok(None),
            ("gzip" | "x-gzip", None) => Ok(Some(Self::Gzip)),
            ("deflate", None) => Ok(Some(Self::Deflate)),
            ("zstd", None) => Ok(Some(Self::Zstd)),
            ("br", None) => Ok(Some(Self::Brotli)),
            _ => Err(ApiError::unknown_coding(CODINGS)),
        }
    }

    /// The bytes that were compressed. Takes some milliseconds for each megabyte: call it where blocking is allowed.
    ///
    /// Errors: more than `bytes_max`, known as soon as the bound is passed; a body that is not whole.
    pub(super) fn decode(self, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(body), bytes_max),
            Self::Deflate => read_bounded(flate2::read::ZlibDecoder::new(body), bytes_max),
            Self::Zstd => zstd(body, bytes_max),
            Self::Brotli => {
                read_bounded(brotli_decompressor::Decompressor::new(body, BROTLI_BUFFER_BYTES), bytes_max)
            }
        }
    }
}

fn read_bounded(reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    append_bounded(reader, &mut bytes, bytes_max)?;
    Ok(bytes)
}

fn append_bounded(reader: impl Read, bytes: &mut Vec<u8>, bytes_max: usize) -> Result<(), DecodeError> {
    let room = bytes_max.saturating_sub(bytes.len()).saturating_add(1);
    reader.take(u64::try_from(room).unwrap_or(u64::MAX)).read_to_end(bytes).map_err(broken)?;
    if bytes.len() > bytes_max { Err(DecodeError::TooLarge) } else { Ok(()) }
}

/// One frame after another, as the format allows.
fn zstd(mut body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
    while !body.is_empty() {
        let frame = StreamingDecoder::new_with_decoder(&mut body, &mut decoder).map_err(broken)?;
        append_bounded(frame, &mut bytes, bytes_max)?;
    }
    Ok(bytes)
}

/// What a decoder says of a damaged body helps nobody: the client made it by a library.
fn broken(_: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DecodeError {
    DecodeError::Broken
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use actix_web::http::header::{HeaderName, HeaderValue};
    use flate2::Compression;

    use super::*;

    /// `{"a": 1}` by the reference tools.
    const ZSTD: &str = "28b52ffd2008410000 7b2261223a20317d";
    const BROTLI: &str = "8b0380 7b2261223a20317d 03";
    /// 32 MiB of spaces by the reference tool.
    const BROTLI_BOMB: &str = "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffff\
                               c12f0110870500baf77f03";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("hex");
        digits.chunks(2).map(byte).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compressed")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compressed")
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn every_coding_gives_back_what_was_compressed() {
        let text = b"{\"a\": 1}";
        let rows = [
            (Coding::Gzip, gzip(text)),
            (Coding::Deflate, zlib(text)),
            (Coding::Zstd, zstd_of(text)),
            (Coding::Zstd, hex(ZSTD)),
            (Coding::Brotli, hex(BROTLI)),
        ];
        for (coding, body) in rows {
            assert_eq!(coding.decode(&body, 8).expect("decoded"), text, "{coding:?}");
            assert!(matches!(coding.decode(&body, 7), Err(DecodeError::TooLarge)), "{coding:?}");
        }
        let two = [gzip(text), gzip(text)].concat();
        assert_eq!(Coding::Gzip.decode(&two, 16).expect("two members").len(), 16);
        let two = [zstd_of(text), zstd_of(text)].concat();
        assert_eq!(Coding::Zstd.decode(&two, 16).expect("two frames").len(), 16);
        assert!(matches!(Coding::Zstd.decode(&two, 15), Err(DecodeError::TooLarge)));
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let zeros = vec![0; 8 * 1_024 * 1_024];
        for (coding, body) in [
            (Coding::Gzip, gzip(&zeros)),
            (Coding::Deflate, zlib(&zeros)),
            (Coding::Zstd, zstd_of(&zeros)),
            (Coding::Brotli, hex(BROTLI_BOMB)),
            // A member, a frame: each is within the bound, all together are not.
            (Coding::Gzip, gzip(&zeros[..60_000]).repeat(1_000)),
            (Coding::Zstd, zstd_of(&zeros[..60_000]).repeat(1_000)),
        ] {
            assert!(body.len() < 100_000, "{coding:?}: {} bytes", body.len());
            assert!(matches!(coding.decode(&body, 100_000), Err(DecodeError::TooLarge)), "{coding:?}");
        }
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let text = b"{\"a\": 1, \"b\": [1, 2, 3]}";
        for (coding, body) in [
            (Coding::Gzip, gzip(text)),
            (Coding::Deflate, zlib(text)),
            (Coding::Zstd, zstd_of(text)),
            (Coding::Brotli, hex(BROTLI)),
        ] {
            for cut in 1..body.len() {
                let decoded = coding.decode(&body[..cut], 1_000);
                assert!(matches!(decoded, Err(DecodeError::Broken)), "{coding:?} cut at {cut}: {decoded:?}");
            }
            let other = coding.decode(b"{\"a\": 1}", 1_000);
            assert!(matches!(other, Err(DecodeError::Broken)), "{coding:?}: {other:?}");
        }
        // A frame that asks for a window of 128 MiB.
        let wide = hex("28b52ffd 00 88 0100 00");
        assert!(matches!(Coding::Zstd.decode(&wide, 1_000), Err(DecodeError::Broken)));
    }

    #[test]
    fn codings_have_their_names() {
        let coding = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let name = HeaderName::from_static("content-encoding");
                headers.append(name, HeaderValue::from_str(value).expect("a value"));
            }
            Coding::of(&headers).map_err(|error| error.status().as_u16())
        };
        let rows = [
            (&[][..], Ok(None)),
            (&[""], Ok(None)),
            (&["identity"], Ok(None)),
            (&["gzip"], Ok(Some(Coding::Gzip))),
            (&[" GZIP "], Ok(Some(Coding::Gzip))),
            (&["x-gzip"], Ok(Some(Coding::Gzip))),
            (&["deflate"], Ok(Some(Coding::Deflate))),
            (&["zstd"], Ok(Some(Coding::Zstd))),
            (&["br"], Ok(Some(Coding::Brotli))),
            (&["compress"], Err(415)),
            (&["gzip, gzip"], Err(415)),
            (&["gzip, br"], Err(415)),
            (&["gzip", "gzip"], Err(415)),
            (&["*"], Err(415)),
            (&["snappy"], Err(415)),
        ];
        for (values, expected) in rows {
            assert_eq!(coding(values), expected, "{values:?}");
        }
    }
}
