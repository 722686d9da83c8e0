//! Puts an export into a bucket that speaks S3, in parts.
//! Never more than two parts in memory, never a half object, and never a credential in a message.
//! Called by `place`.

use billing::export::Export;
use object_store::{
    ObjectStoreExt as _, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};

use super::fault;
use crate::{
    cli::CliError,
    config::{S3, Secret},
};

/// Unit: bytes. S3 takes no smaller parts, and 10,000 of them: up to 78 GiB.
const PART_BYTES: usize = 8 * 1_024 * 1_024;
/// Parts under way at once.
const PARTS_MAX: usize = 1;

/// Uploads all of an export and says how many bytes it had.
///
/// Errors: what cannot be read, a bucket that refuses; the parts so far are given up.
pub(super) async fn put(
    config: &S3,
    (bucket, name): (&str, &str),
    mut export: Export,
) -> Result<u64, CliError> {
    let place = format!("s3://{bucket}/{name}");
    let refused = |error: object_store::Error| CliError::Usage(format!("{place}: {}", without_query(&error)));
    let store = open(config, bucket)?;
    let path = Path::parse(name).map_err(|error| CliError::Usage(format!("{place}: {error}")))?;
    let upload = store.put_multipart(&path).await.map_err(refused)?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let mut bytes = 0;
    loop {
        let piece = match export.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => {
                // What is told is why the export ended; parts that stay behind are the bucket's to expire.
                writer.abort().await.ok();
                return Err(fault(error));
            }
        };
        bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if let Err(error) = writer.wait_for_capacity(PARTS_MAX).await {
            // As above.
            writer.abort().await.ok();
            return Err(refused(error));
        }
        writer.write(&piece);
    }
    writer.finish().await.map_err(refused)?;
    Ok(bytes)
}

/// The bucket, by what the configuration says and, where it says nothing, by the usual variables.
fn open(config: &S3, bucket: &str) -> Result<AmazonS3, CliError> {
    let S3 { endpoint, region, access_key_id, secret_access_key } = config;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(id) = access_key_id {
        builder = builder.with_access_key_id(read(id, "access_key_id")?);
    }
    if let Some(secret) = secret_access_key {
        builder = builder.with_secret_access_key(read(secret, "secret_access_key")?);
    }
    builder.build().map_err(|error| CliError::Usage(format!("exports.s3: {error}")))
}

fn read(secret: &Secret, field: &str) -> Result<String, CliError> {
    secret.read().map_err(|error| CliError::Usage(format!("exports.s3.{field}: {error}")))
}

/// A message without what stands behind a `?` in addresses: there may be signatures.
fn without_query(error: &object_store::Error) -> String {
    let text = error.to_string();
    let words = text.split(' ').map(|word| word.split('?').next().unwrap_or_default());
    words.collect::<Vec<_>>().join(" ")
}
